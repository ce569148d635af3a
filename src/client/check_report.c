/* SPDX-License-Identifier: MIT */
/* Findings of the snapshot check: names, counting, the bound on what is reported; see check.h. */
#include <stdio.h>
#include <string.h>

#include "archive/access.h"
#include "client/check_int.h"

enum { FINDINGS_MAX_DEFAULT = 20 };

/* `rule` where a finding has always the same; verify's and the decoders' findings bring their own. */
static const struct {
    const char *name;
    enum pbr_check_level level;
    const char *rule;
    const char *defect;
} names[CHECK_NAME_NR] = {
    [CHECK_MANIFEST] = { "manifest", PBR_CHECK_ERROR, NULL, NULL },
    [CHECK_SIGNATURE] = { "manifest-signature", PBR_CHECK_ERROR, "MAN-048", NULL },
    [CHECK_FILE_MISSING] = { "file-unavailable", PBR_CHECK_ERROR, "MAN-072", NULL },
    [CHECK_FILE_SIZE] = { "file-size", PBR_CHECK_ERROR, "MAN-072", NULL },
    [CHECK_FILE_CSUM] = { "file-checksum", PBR_CHECK_ERROR, "MAN-072", NULL },
    [CHECK_FILE_CRYPT_MODE] = { "file-crypt-mode", PBR_CHECK_ERROR, "CDM-121", NULL },
    [CHECK_BLOB] = { "blob", PBR_CHECK_ERROR, NULL, NULL },
    [CHECK_INDEX] = { "index", PBR_CHECK_ERROR, NULL, NULL },
    [CHECK_INDEX_CSUM] = { "index-checksum", PBR_CHECK_ERROR, NULL, NULL },
    [CHECK_SPLIT_PAIR] = { "split-pair", PBR_CHECK_ERROR, "CDM-121", NULL },
    [CHECK_CHUNK_MISSING] = { "chunk-missing", PBR_CHECK_ERROR, "IDX-100", NULL },
    [CHECK_CHUNK_CORRUPT] = { "chunk-corrupt", PBR_CHECK_ERROR, "BLOB-091", NULL },
    [CHECK_DAMAGED_PATH] = { "damaged-path", PBR_CHECK_ERROR, "BLOB-091", NULL },
    [CHECK_LOST_ENTRY] = { "lost-entry", PBR_CHECK_ERROR, NULL, NULL },
    [CHECK_LOST_DIRECTORY] = { "lost-directory", PBR_CHECK_ERROR, NULL, NULL },
    [CHECK_STRUCTURE] = { "archive-structure", PBR_CHECK_ERROR, "PXAR-225", NULL },
    [CHECK_ENDS_EARLY] = { "archive-ends-early", PBR_CHECK_ERROR, "PXAR-225", "CDM-141" },
    [CHECK_NOT_CLOSED] = { "directory-not-closed", PBR_CHECK_ERROR, "PXAR-225", "CDM-080" },
    [CHECK_TRAILING] = { "trailing-bytes", PBR_CHECK_ERROR, "PXAR-036", NULL },
    [CHECK_NAME_ORDER] = { "name-order", PBR_CHECK_WARNING, "PXAR-034", NULL },
    [CHECK_NAME_TWICE] = { "name-twice", PBR_CHECK_ERROR, "EXT-051", NULL },
    [CHECK_ENTRY_VALUE] = { "entry-value", PBR_CHECK_ERROR, NULL, NULL },
    [CHECK_GOODBYE_COUNT] = { "goodbye-count", PBR_CHECK_ERROR, "PXAR-150", NULL },
    [CHECK_GOODBYE_CHILD] = { "goodbye-child", PBR_CHECK_ERROR, "PXAR-151", NULL },
    [CHECK_GOODBYE_SIZE] = { "goodbye-size", PBR_CHECK_ERROR, "PXAR-154", NULL },
    [CHECK_GOODBYE_ORDER] = { "goodbye-order", PBR_CHECK_ERROR, "PXAR-170", NULL },
    [CHECK_GOODBYE_TAIL] = { "goodbye-tail", PBR_CHECK_ERROR, "PXAR-152", NULL },
    [CHECK_GOODBYE_COLLISION] = { "goodbye-collision", PBR_CHECK_WARNING, "PXAR-160", NULL },
    [CHECK_HARDLINK_TARGET] = { "hardlink-target", PBR_CHECK_ERROR, "PXAR-074", NULL },
    [CHECK_HARDLINK_PATH] = { "hardlink-path", PBR_CHECK_ERROR, "PXAR-075", NULL },
    [CHECK_START_MARKER] = { "payload-start-marker", PBR_CHECK_ERROR, "PXAR-134", NULL },
    [CHECK_TAIL_MARKER] = { "payload-tail-marker", PBR_CHECK_ERROR, "PXAR-135", "CDM-141" },
    [CHECK_REF_MARKER] = { "reference-into-marker", PBR_CHECK_ERROR, "CDM-124", NULL },
    [CHECK_REF_BEHIND] = { "reference-behind-data", PBR_CHECK_ERROR, "PXAR-274", "CDM-059" },
    [CHECK_REF_ORDER] = { "references-not-increasing", PBR_CHECK_ERROR, "PXAR-139", "CDM-142" },
    [CHECK_REF_HELD] = { "held-chunk-mistaken", PBR_CHECK_ERROR, "PXAR-139", "CDM-144" },
    [CHECK_REF_OVERLAP] = { "references-overlap", PBR_CHECK_ERROR, "PXAR-245", NULL },
    [CHECK_STALE_SIZE] = { "stale-size", PBR_CHECK_ERROR, "PXAR-243", "CDM-140" },
    [CHECK_PAYLOAD_HEADER] = { "payload-header", PBR_CHECK_ERROR, "PXAR-243", NULL },
    [CHECK_PADDING] = { "padding-in-new-chunk", PBR_CHECK_ERROR, "CDM-127", NULL },
    [CHECK_REPEATED_CHUNK] = { "repeated-chunk", PBR_CHECK_NOTE, "CDM-128", "CDM-144" },
    [CHECK_CATALOG] = { "catalog", PBR_CHECK_ERROR, NULL, NULL },
    [CHECK_CATALOG_MISSING] = { "catalog-entry-missing", PBR_CHECK_ERROR, "CAT-062", NULL },
    [CHECK_CATALOG_EXTRA] = { "catalog-entry-extra", PBR_CHECK_ERROR, "CAT-062", NULL },
    [CHECK_CATALOG_VALUE] = { "catalog-entry-value", PBR_CHECK_ERROR, "CAT-063", NULL },
};

static const struct {
    const char *rule;
    enum check_name name;
} rules[] = {
    { "PXAR-034", CHECK_NAME_ORDER },      { "PXAR-036", CHECK_TRAILING },        { "PXAR-050", CHECK_ENTRY_VALUE },
    { "PXAR-074", CHECK_HARDLINK_TARGET }, { "PXAR-075", CHECK_HARDLINK_PATH },   { "PXAR-079", CHECK_ENTRY_VALUE },
    { "PXAR-087", CHECK_ENTRY_VALUE },     { "PXAR-100", CHECK_ENTRY_VALUE },     { "PXAR-109", CHECK_ENTRY_VALUE },
    { "PXAR-110", CHECK_ENTRY_VALUE },     { "PXAR-150", CHECK_GOODBYE_COUNT },   { "PXAR-151", CHECK_GOODBYE_CHILD },
    { "PXAR-152", CHECK_GOODBYE_TAIL },    { "PXAR-153", CHECK_GOODBYE_TAIL },    { "PXAR-154", CHECK_GOODBYE_SIZE },
    { "PXAR-157", CHECK_GOODBYE_SIZE },    { "PXAR-160", CHECK_GOODBYE_COLLISION }, { "PXAR-170", CHECK_GOODBYE_ORDER },
    { "PXAR-220", CHECK_ENTRY_VALUE },     { "EXT-051", CHECK_NAME_TWICE },
};

const char *pbr_check_name(size_t i)
{
    return i < CHECK_NAME_NR ? names[i].name : NULL;
}

enum check_name check_name_of_rule(const char *rule)
{
    for (size_t i = 0; rule && i < sizeof(rules) / sizeof(rules[0]); i++)
        if (strcmp(rules[i].rule, rule) == 0)
            return rules[i].name;
    return CHECK_STRUCTURE;
}

static uint64_t findings_max(const struct pbr_check_opts *opts)
{
    return opts->findings_max ? opts->findings_max : FINDINGS_MAX_DEFAULT;
}

uint64_t pbr_check_omitted(const struct pbr_check_opts *opts, const struct pbr_check_file *f, size_t name)
{
    const uint64_t max = findings_max(opts);
    return f->counts[name] > max ? f->counts[name] - max : 0;
}

/* ---- records ---- */

int check_add_file(struct check *c, const char *name, const char *kind, size_t *ret, struct pbr_diag *diag)
{
    struct pbr_check_result *r = &c->res;
    if (r->file_nr == r->file_cap) {
        const size_t cap = r->file_cap ? r->file_cap * 2 : 16;
        struct pbr_check_file *files = pbr_realloc(c->env, r->files, cap * sizeof(*files));
        if (!files)
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the findings");
        r->files = files;
        r->file_cap = cap;
    }
    struct pbr_check_file f = { .kind = kind };
    f.name = pbr_strdup(c->env, name);
    f.counts = pbr_alloc(c->env, CHECK_NAME_NR, sizeof(*f.counts));
    if (!f.name || !f.counts) {
        pbr_free(c->env, f.name);
        pbr_free(c->env, f.counts);
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for the findings");
    }
    r->files[r->file_nr] = f;
    *ret = r->file_nr++;
    return PBR_OK;
}

void pbr_check_result_release(struct pbr_check_result *r)
{
    for (size_t i = 0; i < r->file_nr; i++) {
        pbr_free(r->env, r->files[i].name);
        pbr_free(r->env, r->files[i].counts);
    }
    if (r->files)
        pbr_free(r->env, r->files);
    *r = (struct pbr_check_result){ 0 };
}

/* ---- reporting ---- */

static void count(struct check *c, struct pbr_check_file *f, enum pbr_check_level level, bool has_path)
{
    switch (level) {
    case PBR_CHECK_ERROR:
        c->res.errors++;
        f->errors++;
        f->damaged_paths += has_path;
        break;
    case PBR_CHECK_WARNING:
        c->res.warnings++;
        f->warnings++;
        break;
    case PBR_CHECK_NOTE:
        c->res.notes++;
        f->notes++;
        break;
    }
}

static void report_text(struct check *c, enum check_name name, const struct check_where *at, const char *text)
{
    struct pbr_check_file *f = &c->res.files[at->file];
    count(c, f, names[name].level, at->path.len > 0);
    if (f->counts[name]++ >= findings_max(c->opts) || !c->opts->report)
        return;
    const struct pbr_check_finding finding = {
        .level = names[name].level,
        .name = names[name].name,
        .file = f->name,
        .rule = at->rule ? at->rule : names[name].rule,
        .defect = names[name].defect,
        .path = at->path,
        .has_off = at->has_off,
        .off = at->off,
        .text = text,
    };
    c->opts->report(c->opts->ctx, &finding);
}

void check_report(struct check *c, enum check_name name, const struct check_where *at, const char *fmt, ...)
{
    char text[PBR_DIAG_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    report_text(c, name, at, text);
}

void check_report_cause(struct check *c, enum check_name name, const struct check_where *at,
                        const struct pbr_diag *cause)
{
    struct check_where where = *at;
    if (!where.rule)
        where.rule = cause->rule;
    if (!where.has_off) {
        where.has_off = cause->has_off;
        where.off = cause->off;
    }
    report_text(c, name, &where, cause->text);
}

int check_found(struct check *c, enum check_name name, const struct check_where *at, int rc,
                const struct pbr_diag *cause, struct pbr_diag *diag)
{
    if (rc >= 0)
        return rc;
    if (pbr_access_is_loss(rc, cause)) {
        check_report_cause(c, name, at, cause);
        return PBR_OK;
    }
    if (diag && diag->code == PBR_OK)
        *diag = *cause;
    return rc;
}
