/* SPDX-License-Identifier: MIT */
/* The catalog against the archives [CAT-060 .. CAT-065]. Both list entries depth first in the same order, so they are
 * walked in step; where they differ, the one whose path comes first has an entry that the other lacks. */
#include <string.h>

#include "client/check_int.h"

#define CLI_EXCLUDES ".pxarexclude-cli" /* stands last in the root, whatever its name [CAT-062] */

int check_catalog_open(struct check_catalog *k, struct check *c, size_t file, const struct pbr_source *src,
                       struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    const struct check_where at = { .file = file };
    *k = (struct check_catalog){ .c = c, .file = file };
    const int rc = pbr_pcat_open(c->env, src, &k->cat, &cause);
    return rc < 0 ? check_found(c, CHECK_CATALOG, &at, rc, &cause, diag) : PBR_OK;
}

static void end_walk(struct check_catalog *k)
{
    pbr_pcat_walk_free(k->walk);
    k->walk = NULL;
}

void check_catalog_close(struct check_catalog *k)
{
    end_walk(k);
    pbr_pcat_free(k->cat);
    k->cat = NULL;
}

/* A failure of the catalog itself ends its comparison. */
static int give_up(struct check_catalog *k, int rc, const struct pbr_diag *cause, struct pbr_diag *diag)
{
    const struct check_where at = { .file = k->file };
    k->gave_up = true;
    return check_found(k->c, CHECK_CATALOG, &at, rc, cause, diag);
}

static int step(struct check_catalog *k, struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    const int rc = pbr_pcat_walk_next(k->walk, &k->at, &cause);
    k->has_at = rc > 0;
    return rc < 0 ? give_up(k, rc, &cause, diag) : PBR_OK;
}

int check_catalog_begin(struct check_catalog *k, const char *archive, struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    struct pbr_pcat_entry top;
    const struct check_where at = { .file = k->file, .rule = "CAT-060" };
    k->has_at = k->gave_up = false;
    if (!k->cat) {
        k->gave_up = true;
        return PBR_OK;
    }
    int rc = pbr_pcat_lookup(k->cat, pbr_span_str(archive), &top, &cause);
    if (rc == PBR_E_NOENT || (rc == PBR_OK && !pbr_pcat_is_dir(&top))) {
        k->gave_up = true;
        check_report(k->c, CHECK_CATALOG_MISSING, &at, "archive '%s' is not in the catalog", archive);
        return PBR_OK;
    }
    if (rc == PBR_OK)
        rc = pbr_pcat_walk_new(k->cat, top.table, &k->walk, &cause);
    if (rc < 0)
        return give_up(k, rc, &cause, diag);
    return step(k, diag);
}

static char letter_of(const struct pbr_pxar_entry *e)
{
    switch (e->kind) {
    case PBR_KIND_DIR: return PBR_PCAT_DIR;
    case PBR_KIND_FILE: return PBR_PCAT_FILE;
    case PBR_KIND_SYMLINK: return PBR_PCAT_SYMLINK;
    case PBR_KIND_FIFO: return PBR_PCAT_FIFO;
    case PBR_KIND_SOCKET: return PBR_PCAT_SOCKET;
    case PBR_KIND_HARDLINK: return PBR_PCAT_HARDLINK;
    case PBR_KIND_APPENDIX_REF: return PBR_PCAT_REF;
    case PBR_KIND_DEVICE: break;
    }
    return (e->meta.mode & PBR_MODE_TYPE) == PBR_MODE_BLOCK ? PBR_PCAT_BLOCK : PBR_PCAT_CHAR;
}

/* Order of a depth-first walk over sorted names: by components, and '/' before every other byte. */
static int compare_paths(struct pbr_span a, struct pbr_span b)
{
    if (pbr_span_eq_str(a, CLI_EXCLUDES) != pbr_span_eq_str(b, CLI_EXCLUDES))
        return pbr_span_eq_str(a, CLI_EXCLUDES) ? 1 : -1;
    const size_t n = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < n; i++) {
        if (a.ptr[i] != b.ptr[i]) {
            const int x = a.ptr[i] == '/' ? -1 : a.ptr[i], y = b.ptr[i] == '/' ? -1 : b.ptr[i];
            return x - y;
        }
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

static int report_extra(struct check_catalog *k, struct pbr_diag *diag)
{
    const struct check_where at = { .file = k->file, .path = pbr_pcat_walk_path(k->walk) };
    check_report(k->c, CHECK_CATALOG_EXTRA, &at, "the catalog has an entry that the archive has not");
    return step(k, diag);
}

static void compare_values(struct check_catalog *k, const struct pbr_pxar_entry *e, struct pbr_span path)
{
    struct check_where at = { .file = k->file, .path = path };
    const char letter = letter_of(e);
    if ((char)k->at.type != letter) {
        at.rule = "CAT-010";
        check_report(k->c, CHECK_CATALOG_VALUE, &at, "the catalog says type '%c', the archive '%c'", (char)k->at.type,
                     letter);
        return;
    }
    if (letter != PBR_PCAT_FILE && letter != PBR_PCAT_REF)
        return;
    if (k->at.size != e->size)
        check_report(k->c, CHECK_CATALOG_VALUE, &at, "the catalog says %" PRIu64 " bytes, the archive %" PRIu64, k->at.size,
                     e->size);
    const uint64_t pos = letter == PBR_PCAT_REF ? e->appendix_off : e->name_pos;
    if ((letter == PBR_PCAT_REF || k->at.pos > 0) && k->at.pos != pos) { /* extended catalogs only [APX-072, APX-073] */
        at.rule = letter == PBR_PCAT_REF ? "APX-073" : "APX-072";
        check_report(k->c, CHECK_CATALOG_VALUE, &at, "the catalog says position %" PRIu64 ", the archive %" PRIu64,
                     k->at.pos, pos);
        at.rule = NULL;
    }
    if (letter == PBR_PCAT_FILE && k->at.mtime_s != e->meta.mtime_s) /* a reference has no metadata */
        check_report(k->c, CHECK_CATALOG_VALUE, &at, "the catalog says mtime %" PRId64 ", the archive %" PRId64,
                     k->at.mtime_s, e->meta.mtime_s);
}

int check_catalog_entry(struct check_catalog *k, const struct pbr_pxar_entry *e, struct pbr_span path,
                        struct pbr_diag *diag)
{
    int rc = PBR_OK, order = 1;
    if (k->gave_up || path.len <= 1) /* the root has no line of its own below the archive's name */
        return PBR_OK;
    const struct pbr_span inside = pbr_span_sub(path, 1, path.len);
    while (rc == PBR_OK && k->has_at && (order = compare_paths(inside, pbr_pcat_walk_path(k->walk))) > 0)
        rc = report_extra(k, diag);
    if (rc < 0 || k->gave_up)
        return rc;
    if (!k->has_at || order < 0) {
        const struct check_where at = { .file = k->file, .path = path };
        check_report(k->c, CHECK_CATALOG_MISSING, &at, "the archive has an entry that the catalog has not");
        return PBR_OK;
    }
    compare_values(k, e, path);
    return step(k, diag);
}

int check_catalog_end(struct check_catalog *k, bool complete, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    while (rc == PBR_OK && complete && !k->gave_up && k->has_at)
        rc = report_extra(k, diag);
    end_walk(k);
    return rc;
}

int check_catalog_names(struct check_catalog *k, bool (*known)(void *ctx, struct pbr_span name), void *ctx,
                        struct pbr_diag *diag)
{
    struct pbr_diag cause = { 0 };
    struct pbr_pcat_entry e;
    if (!k->cat)
        return PBR_OK;
    int rc = pbr_pcat_walk_new(k->cat, pbr_pcat_root(k->cat), &k->walk, &cause);
    while (rc >= 0 && (rc = pbr_pcat_walk_next(k->walk, &e, &cause)) > 0) {
        const struct check_where at = { .file = k->file, .rule = "CAT-060", .path = e.name };
        if (!known(ctx, e.name))
            check_report(k->c, CHECK_CATALOG_EXTRA, &at, "the catalog has an archive that the snapshot has not");
        pbr_pcat_walk_skip(k->walk);
    }
    end_walk(k);
    return rc < 0 ? give_up(k, rc, &cause, diag) : PBR_OK;
}
