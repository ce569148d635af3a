/* SPDX-License-Identifier: MIT */
/* Creation: options, the walk's loop, and what is done with each entry; see create.h. Order of work:
 *
 *   root     file system, metadata, exclude patterns, encoder with its prelude   [CRT-010, CRT-011, CRT-040, CRT-057]
 *   loop     next entry -> progress -> open -> metadata -> emit                   [CRT-020, CRT-031, CRT-180, CRT-101]
 *   end      .pxarexclude-cli (version 1, drafts), GOODBYE, tail                  [CRT-056, CRT-012] */
#include "archive/create.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/create_emit.h"
#include "archive/excludes.h"
#include "base/limits.h"
#include "sys/fd.h"

enum {
    SKIP = 1,             /* left out, the warning is given */
    TARGET_SPACE = 8192,  /* longer symlink targets are refused anyway [CRT-149] */
};

static const struct pbr_span NO_TARGET = { NULL, 0 };

/* ---- opening and metadata ---- */

/* Never waits for a fifo that took the file's place since the listing. Without O_NONBLOCK once more where another process
 * has a lease on the file: it is asked to give it back. */
static int open_now(int dirfd, const char *name, int flags)
{
    const int fd = pbr_open_noatime(dirfd, name, flags | O_NONBLOCK);
    return fd < 0 && errno == EWOULDBLOCK ? pbr_open_noatime(dirfd, name, flags) : fd;
}

/* CRT-180 .. CRT-182 for regular files and directories. */
static int open_entry(struct pbr_create *cr, const char *name, int extra_flags, int *ret, struct pbr_diag *diag)
{
    const struct pbr_span path = pbr_walk_path(&cr->walk);
    struct pbr_quoted q;
    const int fd = open_now(pbr_walk_top(&cr->walk)->fd, name, O_RDONLY | O_NOFOLLOW | O_NOCTTY | extra_flags);
    if (fd >= 0) {
        *ret = fd;
        return PBR_OK;
    }
    switch (errno) {
    case ENOENT:
        pbr_walk_skip(&cr->walk, "warning: file vanished while reading: ", path, "");
        return SKIP;
    case EACCES:
        pbr_walk_skip(&cr->walk, "failed to open file: ", pbr_span_str(name), ": access denied");
        return SKIP;
    case ESTALE:
        pbr_walk_skip(&cr->walk, "warning: stale file handle encountered while reading: ", path, "");
        return SKIP;
    default:
        return pbr_fail_os(diag, errno, "failed to open %s", pbr_quote_path(&q, path));
    }
}

static int stale(struct pbr_create *cr)
{
    pbr_walk_skip(&cr->walk, "warning: stale file handle encountered while reading: ", pbr_walk_path(&cr->walk), "");
    return SKIP;
}

static int read_meta(struct pbr_create *cr, int fd, const struct pbr_walk_entry *e, struct pbr_pxar_meta *ret,
                     struct pbr_diag *diag)
{
    struct pbr_quoted q;
    const int rc = pbr_capture_entry(&cr->capture, fd, &e->st, &pbr_walk_top(&cr->walk)->scope,
                                     cr->opts->skip_e2big_xattr, ret, diag);
    if (rc == PBR_CAPTURE_STALE) /* [CRT-102] */
        return stale(cr);
    if (rc < 0)
        pbr_diag_context(diag, "%s", pbr_quote_path(&q, pbr_walk_path(&cr->walk)));
    return rc;
}

static struct pbr_create_item item_of(struct pbr_create *cr, const struct pbr_walk_entry *e,
                                      const struct pbr_pxar_meta *meta, struct pbr_span target)
{
    return (struct pbr_create_item){ .event = PBR_CREATE_EV_ENTRY,
                                     .path = pbr_walk_path(&cr->walk),
                                     .name = pbr_span(pbr_walk_name(pbr_walk_top(&cr->walk), e), e->name_len),
                                     .st = e->st,
                                     .meta = meta,
                                     .target = target };
}

/* ---- entries by type ---- */

static int visit_file(struct pbr_create *cr, const struct pbr_walk_entry *e, struct pbr_diag *diag)
{
    struct pbr_pxar_meta meta;
    int fd = -1;

    if (e->st.nlink > 1 && !cr->decides && pbr_links_find(&cr->links, e->st.dev, e->st.ino)) {
        /* only its name is stored: nothing to open */
        const struct pbr_create_item link = item_of(cr, e, NULL, NO_TARGET);
        return pbr_create_emit(cr, &link, &fd, diag);
    }
    int rc = open_entry(cr, pbr_walk_name(pbr_walk_top(&cr->walk), e), 0, &fd, diag);
    if (rc == PBR_OK)
        rc = read_meta(cr, fd, e, &meta, diag);
    if (rc == PBR_OK) {
        const struct pbr_create_item item = item_of(cr, e, &meta, NO_TARGET);
        rc = pbr_create_emit(cr, &item, &fd, diag);
    }
    pbr_close(&fd);
    return rc;
}

/* Without opening it: a descriptor would only lead to EBADF (CRT-101). */
static int visit_symlink(struct pbr_create *cr, const struct pbr_walk_entry *e, struct pbr_diag *diag)
{
    const struct pbr_create_hooks *h = &cr->opts->hooks;
    const struct pbr_walk_dir *dir = pbr_walk_top(&cr->walk);
    const char *name = pbr_walk_name(dir, e);
    char target[TARGET_SPACE];
    struct pbr_pxar_meta meta;
    struct pbr_quoted q;
    int no_fd = -1;

    const ssize_t n = readlinkat(dir->fd, name, target, sizeof(target));
    if (n < 0 && errno == ENOENT) {
        pbr_walk_skip(&cr->walk, "warning: file vanished while reading: ", pbr_walk_path(&cr->walk), "");
        return SKIP;
    }
    if (n < 0 && errno == ESTALE) { /* the catalog has it already [CRT-146] */
        const int rc = h->cat_entry ? h->cat_entry(h->ctx, 'l', pbr_span(name, e->name_len), 0, 0, diag) : PBR_OK;
        return rc < 0 ? rc : stale(cr);
    }
    if (n < 0)
        return pbr_fail_os(diag, errno, "failed to read link %s", pbr_quote_path(&q, pbr_walk_path(&cr->walk)));
    const int rc = read_meta(cr, -1, e, &meta, diag);
    if (rc != PBR_OK)
        return rc;
    const struct pbr_create_item item = item_of(cr, e, &meta, pbr_span(target, (size_t)n));
    return pbr_create_emit(cr, &item, &no_fd, diag);
}

static int visit_special(struct pbr_create *cr, const struct pbr_walk_entry *e, struct pbr_diag *diag)
{
    struct pbr_pxar_meta meta;
    int no_fd = -1;
    const int rc = read_meta(cr, -1, e, &meta, diag);
    if (rc != PBR_OK)
        return rc;
    const struct pbr_create_item item = item_of(cr, e, &meta, NO_TARGET);
    return pbr_create_emit(cr, &item, &no_fd, diag);
}

/* ---- directories ---- */

static bool is_allowed_dev(const struct pbr_create *cr, uint64_t dev)
{
    if (cr->opts->all_file_systems || dev == cr->root_dev)
        return true;
    for (size_t i = 0; i < cr->opts->include_dev_nr; i++)
        if (cr->opts->include_devs[i] == dev)
            return true;
    return false;
}

/* What holds inside a directory whose device is not its parent's (CRT-060 .. CRT-066). */
static int enter_mount(struct pbr_create *cr, int fd, uint64_t dev, struct pbr_fs_scope *ret, bool *ret_contents,
                       struct pbr_diag *diag)
{
    struct pbr_quoted q;
    const struct pbr_span path = pbr_walk_path(&cr->walk);
    uint64_t type;

    if (pbr_fs_type(fd, &type) < 0) {
        if (errno == ESTALE)
            return stale(cr);
        return pbr_fail_os(diag, errno, "failed to read the file system type of %s", pbr_quote_path(&q, path));
    }
    *ret = (struct pbr_fs_scope){ .fs_type = type,
                                  .features = pbr_fs_features(type, PBR_FEATURE_DEFAULT & ~cr->opts->without),
                                  .dev = dev };
    *ret_contents = !pbr_fs_is_virtual(type) && is_allowed_dev(cr, dev);
    if (!*ret_contents) {
        pbr_log(cr->env, PBR_LOG_INFO, "skipping mount point: %s", pbr_quote_path(&q, path));
        cr->stats.mount_points++;
    }
    return PBR_OK;
}

static int emit_dir_end(struct pbr_create *cr, struct pbr_span name, struct pbr_diag *diag)
{
    int no_fd = -1;
    const struct pbr_create_item end = { .event = PBR_CREATE_EV_DIR_END,
                                         .path = pbr_walk_path(&cr->walk),
                                         .name = name };
    return pbr_create_emit(cr, &end, &no_fd, diag);
}

static int visit_open_dir(struct pbr_create *cr, const struct pbr_walk_entry *e, int *fd, struct pbr_diag *diag)
{
    struct pbr_fs_scope *outer = &pbr_walk_top(&cr->walk)->scope;
    const struct pbr_entry_stat st = e->st;
    struct pbr_pxar_meta meta;
    bool contents = true;
    int no_fd = -1;

    int rc = read_meta(cr, *fd, e, &meta, diag); /* with the parent's scope [CRT-065] */
    struct pbr_fs_scope scope = *outer;          /* after that: reading may have taken XATTRS out */
    if (rc == PBR_OK && st.dev != outer->dev)
        rc = enter_mount(cr, *fd, st.dev, &scope, &contents, diag);
    if (rc != PBR_OK)
        return rc;
    struct pbr_create_item item = item_of(cr, e, &meta, NO_TARGET);
    item.event = PBR_CREATE_EV_DIR;
    rc = pbr_create_emit(cr, &item, &no_fd, diag);
    if (rc < 0)
        return rc;
    return contents ? pbr_walk_enter(&cr->walk, fd, &st, &scope, diag) : emit_dir_end(cr, item.name, diag);
}

static int visit_dir(struct pbr_create *cr, const struct pbr_walk_entry *e, struct pbr_diag *diag)
{
    int fd = -1;
    const char *name = pbr_walk_name(pbr_walk_top(&cr->walk), e);
    int rc = open_entry(cr, name, O_DIRECTORY, &fd, diag);
    if (rc == PBR_OK)
        rc = visit_open_dir(cr, e, &fd, diag);
    pbr_close(&fd);
    return rc;
}

static int leave_dir(struct pbr_create *cr, struct pbr_diag *diag)
{
    const int rc = pbr_walk_leave(&cr->walk, diag);
    if (rc < 0 || cr->walk.depth == 0) /* the root ends with the archive */
        return rc;
    const struct pbr_walk_dir *dir = pbr_walk_top(&cr->walk);
    const struct pbr_walk_entry *left = &dir->entries[dir->next - 1];
    return emit_dir_end(cr, pbr_span(pbr_walk_name(dir, left), left->name_len), diag);
}

/* ---- the loop ---- */

static int visit(struct pbr_create *cr, const struct pbr_walk_entry *e, struct pbr_diag *diag)
{
    const struct pbr_create_hooks *h = &cr->opts->hooks;
    struct pbr_quoted q;
    if (h->entry) {
        const int rc = h->entry(h->ctx, pbr_walk_path(&cr->walk), diag);
        if (rc < 0)
            return rc;
    }
    switch (e->st.mode & PBR_MODE_TYPE) {
    case PBR_MODE_REG:
        return visit_file(cr, e, diag);
    case PBR_MODE_DIR:
        return visit_dir(cr, e, diag);
    case PBR_MODE_SYMLINK:
        return visit_symlink(cr, e, diag);
    case PBR_MODE_BLOCK:
    case PBR_MODE_CHAR:
    case PBR_MODE_FIFO:
    case PBR_MODE_SOCKET:
        return visit_special(cr, e, diag);
    default:
        return pbr_fail_at(diag, PBR_E_UNSUPPORTED, "CRT-183", "encountered unknown file type 0%o of %s",
                           e->st.mode & PBR_MODE_TYPE, pbr_quote_path(&q, pbr_walk_path(&cr->walk)));
    }
}

static int walk_all(struct pbr_create *cr, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    while (rc >= 0 && cr->walk.depth > 0) {
        const struct pbr_walk_entry *e;
        rc = pbr_walk_next(&cr->walk, &e, diag);
        if (rc == PBR_OK)
            rc = e ? visit(cr, e, diag) : leave_dir(cr, diag);
    }
    return rc < 0 ? rc : PBR_OK;
}

/* ---- begin and end ---- */

static int check_opts(const struct pbr_create_opts *opts, bool split, struct pbr_diag *diag)
{
    if (opts->all_file_systems && opts->include_dev_nr > 0)
        return pbr_fail_at(diag, PBR_E_ARG, "CRT-006", "option 'all-file-systems' conflicts with option 'include-dev'");
    if (opts->profile != PBR_PROFILE_RELEASED && split != (opts->profile == PBR_PROFILE_DRAFT_SPLIT))
        return pbr_fail_at(diag, PBR_E_ARG, split ? "APX-002" : "SPL-001", "format profile %s %s a payload stream",
                           pbr_profile_name(opts->profile), split ? "does not have" : "needs");
    return PBR_OK;
}

/* The initial pattern list (CRT-040) and its text form (CRT-055). */
static int take_excludes(struct pbr_create *cr, struct pbr_buf *text, struct pbr_diag *diag)
{
    struct pbr_pattern_list *l = &cr->walk.patterns;
    int rc = PBR_OK;
    for (size_t i = 0; rc == PBR_OK && i < cr->opts->exclude_nr; i++)
        rc = pbr_excludes_add_cli(l, cr->opts->excludes[i], cr->opts->normalise_excludes, &cr->stats.warnings, diag);
    if (rc == PBR_OK && cr->opts->skip_lost_and_found)
        rc = pbr_pattern_list_add(l, pbr_span_str("lost+found"), false, false, diag);
    if (rc < 0)
        return rc;
    rc = pbr_excludes_text(l, l->nr, text);
    return rc < 0 ? pbr_fail_at(diag, rc, NULL, "no room for the exclude patterns") : PBR_OK;
}

/* The root's own metadata, into the new encoder (CRT-010, CRT-011). */
static int begin(struct pbr_create *cr, int root, const struct pbr_create_outputs *outputs,
                 const struct pbr_span *prelude, struct pbr_entry_stat *ret_st, struct pbr_fs_scope *ret_scope,
                 struct pbr_diag *diag)
{
    const bool attach = cr->opts->profile == PBR_PROFILE_DRAFT_SPLIT; /* [SPL-030] */
    struct stat st;
    struct pbr_pxar_meta meta;
    uint64_t type;

    if (fstat(root, &st) < 0 || pbr_fs_type(root, &type) < 0)
        return pbr_fail_os(diag, errno, "failed to read the source directory's metadata");
    if (pbr_fs_is_virtual(type))
        return pbr_fail_at(diag, PBR_E_UNSUPPORTED, "CRT-010", "refusing to backup a virtual file system");
    pbr_entry_stat_from(ret_st, &st);
    *ret_scope = (struct pbr_fs_scope){ .fs_type = type,
                                        .features = pbr_fs_features(type, PBR_FEATURE_DEFAULT & ~cr->opts->without),
                                        .dev = ret_st->dev };
    cr->root_dev = ret_st->dev;
    int rc = pbr_capture_entry(&cr->capture, root, ret_st, ret_scope, cr->opts->skip_e2big_xattr, &meta, diag);
    if (rc == PBR_CAPTURE_STALE)
        return pbr_fail_os(diag, ESTALE, "failed to read the source directory's metadata");
    if (rc < 0)
        return rc;
    cr->stats.dirs = 1;
    rc = pbr_pxar_enc_new(cr->env, outputs->archive, attach ? NULL : outputs->payload, prelude, &meta, &cr->enc, diag);
    return rc < 0 || !attach ? rc : pbr_pxar_enc_attach(cr->enc, outputs->payload, diag);
}

/* `.pxarexclude-cli` behind everything else in the root (CRT-056, CRT-058). */
static int write_cli_excludes(struct pbr_create *cr, struct pbr_span text, struct pbr_diag *diag)
{
    const struct pbr_create_hooks *h = &cr->opts->hooks;
    const struct pbr_span name = pbr_span_str(".pxarexclude-cli");
    const struct pbr_pxar_meta meta = { .mode = PBR_MODE_REG | 0600, .uid = getuid(), .gid = getgid() };
    struct pbr_create_file file = { .name = name, .size = text.len };
    int rc = h->cat_entry && !h->cat_file ? h->cat_entry(h->ctx, 'f', name, text.len, 0, diag) : PBR_OK;
    if (rc == PBR_OK)
        rc = pbr_pxar_enc_file(cr->enc, name, &meta, text.len, &file.pos, diag);
    if (rc == PBR_OK)
        rc = pbr_pxar_enc_file_write(cr->enc, text, diag);
    if (rc == PBR_OK)
        rc = pbr_pxar_enc_file_end(cr->enc, diag);
    return rc < 0 || !h->cat_file ? rc : h->cat_file(h->ctx, &file, diag);
}

/* Version 2 has them in the prelude, the draft of it has not [SPL-026]. */
static bool has_prelude(const struct pbr_create *cr)
{
    return cr->split && cr->opts->profile == PBR_PROFILE_RELEASED;
}

static int finish(struct pbr_create *cr, struct pbr_span cli_text, struct pbr_diag *diag)
{
    const struct pbr_create_hooks *h = &cr->opts->hooks;
    int rc = cr->decides && h->flush ? h->flush(h->ctx, cr, diag) : PBR_OK;
    if (rc == PBR_OK && cr->first)
        rc = pbr_fail_at(diag, PBR_E_STATE, NULL, "%zu deferred entries were never written", cr->deferred_nr);
    if (rc == PBR_OK && !has_prelude(cr) && cli_text.len > 0)
        rc = write_cli_excludes(cr, cli_text, diag);
    if (rc == PBR_OK && h->close && cr->opts->profile == PBR_PROFILE_DRAFT_APPENDIX)
        rc = h->close(h->ctx, cr, diag);
    return rc < 0 ? rc : pbr_pxar_enc_finish(cr->enc, diag);
}

static int run(struct pbr_create *cr, int root_fd, const struct pbr_create_outputs *outputs, struct pbr_buf *text,
               struct pbr_buf *json, struct pbr_diag *diag)
{
    struct pbr_entry_stat st;
    struct pbr_fs_scope scope;
    /* an own descriptor: the caller's may be O_PATH, and its read position is not ours */
    int root = pbr_open_noatime(root_fd, ".", O_RDONLY | O_DIRECTORY | O_NOCTTY);
    if (root < 0)
        return pbr_fail_os(diag, errno, "failed to open the source directory");

    int rc = take_excludes(cr, text, diag);
    if (rc == PBR_OK && has_prelude(cr) && text->len > 0)
        rc = pbr_excludes_prelude(pbr_buf_span(text), json, diag);
    const struct pbr_span prelude = pbr_buf_span(json);
    if (rc == PBR_OK)
        rc = begin(cr, root, outputs, prelude.len > 0 ? &prelude : NULL, &st, &scope, diag);
    if (rc == PBR_OK)
        rc = pbr_walk_enter(&cr->walk, &root, &st, &scope, diag);
    if (rc == PBR_OK)
        rc = walk_all(cr, diag);
    if (rc == PBR_OK)
        rc = finish(cr, pbr_buf_span(text), diag);
    pbr_close(&root);
    return rc;
}

int pbr_create(const struct pbr_env *env, int root_fd, const char *root_path, const struct pbr_create_outputs *outputs,
               const struct pbr_create_opts *opts, struct pbr_create_stats *ret, struct pbr_diag *diag)
{
    static const struct pbr_create_opts DEFAULT_OPTS;
    struct pbr_create cr = { .env = env, .opts = opts ? opts : &DEFAULT_OPTS, .split = outputs->payload != NULL };
    struct pbr_buf text, json;
    struct pbr_quoted q;
    const uint64_t kept_max = cr.opts->has_entries_max ? cr.opts->entries_max : PBR_ENTRIES_MAX_DEFAULT;

    cr.decides = cr.opts->hooks.decide && (cr.split || cr.opts->profile == PBR_PROFILE_DRAFT_APPENDIX);
    pbr_buf_init(&text, env, PBR_PRELUDE_MAX);
    pbr_buf_init(&json, env, PBR_PRELUDE_MAX);
    pbr_capture_init(&cr.capture, env);
    pbr_links_init(&cr.links, env);
    int rc = check_opts(cr.opts, cr.split, diag);
    if (rc == PBR_OK)
        rc = pbr_walk_init(&cr.walk, env, kept_max, &cr.stats, diag);
    if (rc == PBR_OK)
        rc = run(&cr, root_fd, outputs, &text, &json, diag);
    if (rc == PBR_OK && ret)
        *ret = cr.stats;
    if (rc < 0)
        pbr_diag_context(diag, "%s", pbr_quote_path(&q, pbr_span_str(root_path)));

    pbr_create_drop(&cr);
    pbr_pxar_enc_free(cr.enc);
    pbr_links_release(&cr.links);
    pbr_capture_release(&cr.capture);
    pbr_walk_release(&cr.walk);
    pbr_buf_release(&json);
    pbr_buf_release(&text);
    return rc;
}
