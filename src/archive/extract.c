/* SPDX-License-Identifier: MIT */
/* Extraction: the reader's events one after the other; see extract.h and extract_int.h.
 *
 * Selection [EXT-020 .. EXT-026]: each directory has a state, `selected`; the root's is true if
 * there are no patterns.
 *
 *   verdict    entry is selected   directory is created on entering
 *   include    yes                 if its parent is selected
 *   exclude    no                  no
 *   none       as its parent       if its parent is selected
 *
 * Any other directory is created when something inside it is extracted.
 *
 * Thread: as extract.h. */
#include <string.h>

#include "archive/extract_int.h"
#include "format/pattern.h"

static const char *context_of(const struct pbr_pxar_entry *entry)
{
    switch (entry->kind) {
    case PBR_KIND_DIR:
        return "failed to enter directory";
    case PBR_KIND_SYMLINK:
        return "failed to extract symlink";
    case PBR_KIND_HARDLINK:
        return "failed to extract hardlink";
    case PBR_KIND_DEVICE:
        return "failed to extract device";
    case PBR_KIND_FIFO:
        return "failed to extract named pipe";
    case PBR_KIND_SOCKET:
        return "failed to extract unix socket";
    case PBR_KIND_FILE:
    case PBR_KIND_APPENDIX_REF:
        break;
    }
    return "failed to extract file";
}

int pbr_extract_progress(struct pbr_extract_run *run)
{
    if (!run->opts->progress || run->opts->progress(run->opts->ctx, &run->stats) == PBR_OK)
        return PBR_OK;
    return pbr_fail_at(run->diag, PBR_E_CANCELED, NULL, "extraction was canceled");
}

/* Names decide where things are created: checked again, whatever the reader did [EXT-030, EXT-031].
 */
static int take_name(struct pbr_extract_run *run, const struct pbr_pxar_entry *entry, uint64_t pos)
{
    const char *wrong = pbr_pxar_name_check(entry->name);
    if (wrong || entry->name.len > PBR_NAME_MAX)
        return pbr_fail(run->diag, PBR_E_FORMAT, "EXT-030", pos, "%s",
                        wrong ? wrong : "name too long");
    memcpy(run->name, entry->name.ptr, entry->name.len);
    run->name[entry->name.len] = 0;
    return PBR_OK;
}

static enum pbr_verdict verdict_of(const struct pbr_extract_run *run,
                                   const struct pbr_pxar_entry *entry)
{
    if (!run->opts->patterns)
        return PBR_VERDICT_NONE;
    if (entry->kind == PBR_KIND_APPENDIX_REF)
        return pbr_pattern_list_verdict(run->opts->patterns, run->path, PBR_MODE_REG);
    /* a hard link has mode 0 and so no type: patterns for directories never match it [EXT-020] */
    return pbr_pattern_list_verdict(run->opts->patterns, run->path, entry->meta.mode);
}

/* Kinds that were switched off [EXT-049]. */
static bool is_wanted(const struct pbr_extract_run *run, enum pbr_pxar_kind kind)
{
    const uint64_t need = kind == PBR_KIND_DEVICE   ? PBR_FEATURE_DEVICE_NODES
                          : kind == PBR_KIND_FIFO   ? PBR_FEATURE_FIFOS
                          : kind == PBR_KIND_SOCKET ? PBR_FEATURE_SOCKETS
                                                    : 0;
    return (run->meta.features & need) == need;
}

static int enter_dir(struct pbr_extract_run *run, const struct pbr_pxar_entry *entry, bool selected,
                     bool create_now)
{
    const struct pbr_extract_cause *failed = NULL;
    int rc = pbr_extract_dirs_push(run, entry, selected);
    if (rc == PBR_OK && create_now)
        rc = pbr_extract_dirs_ensure(run, &failed);
    if (rc == PBR_OK && failed)
        rc = pbr_extract_fail(run, (struct pbr_extract_note){ 0 }, failed);
    return rc;
}

static int extract_one(struct pbr_extract_run *run, const struct pbr_pxar_entry *entry)
{
    const struct pbr_extract_cause *failed;
    if (entry->kind == PBR_KIND_APPENDIX_REF)
        return pbr_extract_later_file(run, entry);
    if (entry->kind == PBR_KIND_HARDLINK && pbr_extract_is_later(run, entry))
        return pbr_extract_later_link(run, entry);
    int rc = pbr_extract_dirs_ensure(run, &failed);
    if (rc < 0)
        return rc;
    if (failed)
        return pbr_extract_fail(
            run, (struct pbr_extract_note){ .detail = "failed to enter directory" }, failed);
    const int dir = pbr_extract_dirs_node(run);
    switch (entry->kind) {
    case PBR_KIND_FILE:
        rc = pbr_extract_file(run, dir, entry);
        break;
    case PBR_KIND_SYMLINK:
        rc = pbr_extract_symlink(run, dir, entry);
        break;
    case PBR_KIND_HARDLINK:
        rc = pbr_extract_hardlink(run, dir, entry);
        break;
    default:
        rc = pbr_extract_special(run, dir, entry);
        break;
    }
    return rc;
}

/* The archive's own directory: the target [EXT-014, EXT-027]. */
static int enter_root(struct pbr_extract_run *run, const struct pbr_pxar_entry *entry)
{
    int rc = PBR_OK;
    if (!run->prelude_done && run->opts->prelude)
        rc = run->opts->prelude(run->opts->ctx, (struct pbr_span){ 0 }, run->diag);
    if (rc < 0)
        return rc;
    if (entry->kind != PBR_KIND_DIR)
        return pbr_fail_at(run->diag, PBR_E_FORMAT, "EXT-011",
                           "pxar archive does not start with a directory entry!");
    return pbr_extract_dirs_push(run, entry, !run->opts->patterns);
}

static int on_entry(struct pbr_extract_run *run, const struct pbr_pxar_event *ev)
{
    const struct pbr_pxar_entry *entry = &ev->entry;
    if (pbr_reader_in_appendix(run->reader))
        return pbr_extract_later_entry(run, entry);
    run->path = pbr_reader_path(run->reader);
    run->context = context_of(entry);
    run->entry_failed = false;
    run->ignore_errors = false;
    run->stats.entries++;
    if (run->dirs.nr == 0)
        return enter_root(run, entry);
    int rc = take_name(run, entry, ev->pos);
    if (rc < 0)
        return rc;
    const enum pbr_verdict verdict = verdict_of(run, entry);
    const bool outer = pbr_extract_dirs_selected(run);
    const bool selected = verdict == PBR_VERDICT_NONE ? outer : verdict == PBR_VERDICT_INCLUDE;
    if (entry->kind == PBR_KIND_DIR) {
        rc = enter_dir(run, entry, selected, outer && verdict != PBR_VERDICT_EXCLUDE);
    } else if (selected && is_wanted(run, entry->kind)) {
        run->ignore_errors = run->opts->ignore_device_errors && entry->kind == PBR_KIND_DEVICE;
        rc = extract_one(run, entry);
    } else {
        run->stats.skipped++;
    }
    return rc == PBR_OK ? pbr_extract_progress(run) : rc;
}

static int on_dir_end(struct pbr_extract_run *run)
{
    const int rc = run->dirs.nr == 1 ? pbr_extract_later_finish(run) : PBR_OK;
    if (rc < 0)
        return rc;
    const char *name = run->dirs.levels[run->dirs.nr - 1].name;
    run->path = pbr_reader_path(run->reader);
    run->context = "failed to leave directory";
    run->entry_failed = false;
    run->ignore_errors = false;
    memcpy(run->name, name, strlen(name) + 1);
    return pbr_extract_dirs_pop(run);
}

static int on_prelude(struct pbr_extract_run *run, struct pbr_span prelude)
{
    run->prelude_done = true;
    if (!run->opts->prelude)
        return PBR_OK; /* [EXT-101] */
    return run->opts->prelude(run->opts->ctx, prelude.ptr ? prelude : pbr_span_str(""), run->diag);
}

static int run_events(struct pbr_extract_run *run)
{
    struct pbr_pxar_event ev;
    for (;;) {
        int rc = pbr_reader_next(run->reader, &ev, run->diag);
        if (rc < 0)
            return rc;
        if (ev.ev == PBR_PXAR_EV_END)
            return PBR_OK;
        if (ev.ev == PBR_PXAR_EV_PRELUDE)
            rc = on_prelude(run, ev.data);
        else if (ev.ev == PBR_PXAR_EV_ENTRY)
            rc = on_entry(run, &ev);
        else if (ev.ev == PBR_PXAR_EV_DIR_END)
            rc = on_dir_end(run);
        if (rc < 0)
            return rc;
    }
}

int pbr_extract(const struct pbr_env *env, struct pbr_reader *reader,
                const struct pbr_target *target, const struct pbr_extract_opts *opts,
                struct pbr_extract_stats *ret_stats, struct pbr_diag *diag)
{
    struct pbr_extract_opts used = opts ? *opts : (struct pbr_extract_opts){ 0 };
    struct pbr_diag own = { 0 };
    if (used.patterns && used.patterns->nr == 0)
        used.patterns = NULL;
    struct pbr_extract_run *run = pbr_alloc(env, 1, sizeof(*run));
    *ret_stats = (struct pbr_extract_stats){ 0 };
    if (!run)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory");
    *run = (struct pbr_extract_run){
        .env = env, .reader = reader, .target = target, .opts = &used, .diag = diag ? diag : &own
    };
    run->meta = (struct pbr_meta_job){ .env = env,
                                       .target = target,
                                       .features = PBR_FEATURE_DEFAULT & ~used.without,
                                       .note = pbr_extract_meta_note,
                                       .ctx = run };
    int rc = run_events(run);
    /* also if it broke off: what is complete shall not lack its flags; the first error counts */
    const int late_rc = pbr_extract_late_apply(run, rc != PBR_OK);
    rc = rc == PBR_OK ? late_rc : rc;
    if (rc == PBR_OK && run->stats.errors)
        rc = pbr_fail_at(run->diag, PBR_E_PARTIAL, "EXT-004",
                         "there were errors: %" PRIu64 " of %" PRIu64 " entries", run->stats.failed,
                         run->stats.entries);
    *ret_stats = run->stats;
    pbr_extract_late_release(run);
    pbr_extract_later_release(run);
    pbr_extract_dirs_release(run);
    pbr_free(env, run);
    return rc;
}
