/* SPDX-License-Identifier: MIT */
/* Symlinks, hard links, devices, fifos and sockets [EXT-046 .. EXT-049].
 *
 * Thread: as extract.h. */
#include <errno.h>
#include <string.h>

#include "archive/extract_int.h"

static int fail_os(struct pbr_extract_run *run, int result)
{
    const struct pbr_extract_cause cause = pbr_extract_os_cause(result);
    return pbr_extract_fail(run, (struct pbr_extract_note){ 0 }, &cause);
}

static int fail_rule(struct pbr_extract_run *run, const char *rule, const char *text)
{
    return pbr_extract_fail(
        run, (struct pbr_extract_note){ 0 },
        &(struct pbr_extract_cause){ .code = PBR_E_FORMAT, .rule = rule, .text = text });
}

/* Metadata of what was just created under run->name. */
static int apply_to_name(struct pbr_extract_run *run, int dir, const struct pbr_pxar_entry *entry)
{
    const struct pbr_target *t = run->target;
    const int node = t->ops->open_node(t->ctx, dir, run->name);
    if (node < 0)
        return fail_os(run, node);
    const int rc = pbr_meta_apply(&run->meta, node, entry->kind, &entry->meta);
    (void)t->ops->close(t->ctx, node);
    return rc;
}

int pbr_extract_symlink(struct pbr_extract_run *run, int dir, const struct pbr_pxar_entry *entry)
{
    const struct pbr_target *t = run->target;
    if (entry->target.len && memchr(entry->target.ptr, 0, entry->target.len))
        return fail_rule(run, "EXT-038", "link target contains a NUL byte");
    char *link_target = pbr_strndup(run->env, entry->target);
    if (!link_target)
        return pbr_fail_at(run->diag, PBR_E_NOMEM, NULL, "no memory");
    int result = t->ops->symlink(t->ctx, dir, run->name, link_target);
    if (result == -EEXIST && run->opts->overwrite_symlinks) {
        result = t->ops->unlink(t->ctx, dir, run->name);
        if (result >= 0)
            result = t->ops->symlink(t->ctx, dir, run->name, link_target);
    }
    pbr_free(run->env, link_target);
    if (result < 0)
        return fail_os(run, result);
    run->stats.symlinks++;
    return apply_to_name(run, dir, entry);
}

/* NULL, or the rule that the path breaks: relative, no empty, "." or ".." components, no NUL. */
static const char *link_path_rule(struct pbr_span path, const char **ret_text)
{
    *ret_text = "bad absolute file name in archive";
    if (pbr_span_starts(path, "/"))
        return "EXT-033";
    *ret_text = "bad hard link target in archive";
    if (path.len == 0 || memchr(path.ptr, 0, path.len))
        return "EXT-034";
    for (size_t at = 0; at <= path.len;) {
        const struct pbr_span rest = pbr_span_sub(path, at, SIZE_MAX);
        const uint8_t *slash = rest.len ? memchr(rest.ptr, '/', rest.len) : NULL;
        const size_t len = slash ? (size_t)(slash - rest.ptr) : rest.len;
        if (pbr_pxar_name_check(pbr_span_sub(rest, 0, len)))
            return "EXT-034";
        at += len + 1;
    }
    return NULL;
}

int pbr_extract_hardlink(struct pbr_extract_run *run, int dir, const struct pbr_pxar_entry *entry)
{
    const struct pbr_target *t = run->target;
    const char *text;
    const char *rule = link_path_rule(entry->target, &text);
    if (rule)
        return fail_rule(run, rule, text);
    char *path = pbr_strndup(run->env, entry->target);
    if (!path)
        return pbr_fail_at(run->diag, PBR_E_NOMEM, NULL, "no memory");
    int result = t->ops->link(t->ctx, t->root, path, dir, run->name);
    if (result == -EEXIST && run->opts->overwrite_hardlinks) {
        result = t->ops->unlink(t->ctx, dir, run->name);
        if (result >= 0)
            result = t->ops->link(t->ctx, t->root, path, dir, run->name);
    }
    pbr_free(run->env, path);
    if (result < 0)
        return fail_os(run, result);
    run->stats.hardlinks++;
    return PBR_OK;
}

int pbr_extract_special(struct pbr_extract_run *run, int dir, const struct pbr_pxar_entry *entry)
{
    const struct pbr_target *t = run->target;
    const uint64_t mode = entry->meta.mode;
    const uint64_t type = mode & PBR_MODE_TYPE;
    const bool is_device = entry->kind == PBR_KIND_DEVICE;
    if (is_device && type != PBR_MODE_BLOCK &&
        type != PBR_MODE_CHAR) /* any other type would make something else */
        return fail_rule(run, "PXAR-080", "device is neither a block nor a character device");
    /* nobody else gets at it before its owner and permissions are right */
    const bool later = run->meta.features & PBR_FEATURE_PERMISSIONS;
    const uint32_t perm = later ? 0600 : (uint32_t)(mode & PBR_MODE_PERM);
    const uint64_t dev = is_device ? pbr_pxar_dev_join(entry->major, entry->minor) : 0;
    const int result = t->ops->mknod(t->ctx, dir, run->name, (uint32_t)type | perm, dev);
    if (result < 0) {
        struct pbr_extract_cause cause = pbr_extract_os_cause(result);
        cause.number_style = true;
        return pbr_extract_fail(
            run, (struct pbr_extract_note){ .detail = "failed to create device node" }, &cause);
    }
    run->stats.specials++;
    return apply_to_name(run, dir, entry);
}
