/* SPDX-License-Identifier: MIT */
/* pbsref inspect: any file of the formats, recognised by its magic, as text or JSON. With --type nothing is recognised:
 * a file that is not of that type is refused with the rule that it breaks. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cli/inspect.h"
#include "format/index.h"
#include "format/pxar.h"
#include "sys/fd.h"

struct kind {
    const char *name;
    pbr_inspect_fn *show;
};

static const struct kind kinds[] = {
    { "archive", pbr_inspect_archive }, { "payload", pbr_inspect_payload }, { "blob", pbr_inspect_blob },
    { "dynamic-index", pbr_inspect_dynamic }, { "fixed-index", pbr_inspect_fixed }, { "catalog", pbr_inspect_catalog },
    { "manifest", pbr_inspect_manifest }, { "key", pbr_inspect_key },
};

const struct pbr_opt pbr_opts_inspect[] = {
    { .name = "type", .type = PBR_OPT_CHOICE, .value = "TYPE", .help = "what the file is (default: its magic tells)",
      .choices = (const char *const[]){ "archive", "payload", "blob", "dynamic-index", "fixed-index", "catalog", "manifest", "key", NULL } },
    { .name = "payload-input", .type = PBR_OPT_TEXT, .value = "FILE", .help = "archives: payload half of a split archive" },
    { .name = "items", .type = PBR_OPT_BOOL, .help = "archives: the items of the stream instead of entries" },
    { .name = "lookup", .type = PBR_OPT_LIST, .value = "PATH", .help = "archives: only this entry, found by goodbye tables; may be repeated" },
    { .name = "offset", .type = PBR_OPT_LIST, .value = "N", .help = "indexes: also which chunk holds byte N; may be repeated" },
    { .name = "digest", .type = PBR_OPT_TEXT, .value = "HEX", .help = "blobs: what the digest of the contents must be" },
    { .name = "size", .type = PBR_OPT_NUMBER, .value = "BYTES", .help = "blobs: how long the contents must be" },
    { .name = "output", .type = PBR_OPT_TEXT, .value = "FILE", .help = "blobs: write the contents to this new file" },
    { 0 },
};

static const struct kind *kind_named(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

static const char *archive_or_payload(uint64_t htype)
{
    switch (htype) {
    case PBR_PXAR_FORMAT_VERSION:
    case PBR_PXAR_ENTRY:
    case PBR_PXAR_ENTRY_V1: return "archive";
    case PBR_PXAR_PAYLOAD_START: return "payload";
    default: return NULL;
    }
}

/* JSON text: a key file has members that no manifest has. */
static const char *manifest_or_key(struct pbr_cli *cli, const char *path)
{
    struct pbr_buf text;
    json_t *value = NULL;
    if (pbr_load_file(&cli->env, AT_FDCWD, path, 16 << 20, &text, NULL) < 0)
        return "manifest";
    const bool is_key = pbr_json_parse(pbr_buf_span(&text), &value, NULL) == PBR_OK && json_object_get(value, "data") &&
                        !json_object_get(value, "files");
    json_decref(value);
    pbr_wipe(text.ptr, text.cap);
    pbr_buf_release(&text);
    return is_key ? "key" : "manifest";
}

/* By the first bytes; NULL if nothing fits. */
static const char *recognise(struct pbr_cli *cli, const char *path, struct pbr_span head)
{
    static const uint8_t catalog[8] = { 0x91, 0xfd, 0x60, 0xf9, 0xc4, 0x67, 0x58, 0xd5 }; /* CAT-001 */
    struct pbr_blob blob;
    if (pbr_index_recognise(head))
        return head.ptr[0] == 0x1c ? "dynamic-index" : "fixed-index"; /* first bytes of IDX-001, IDX-040 */
    if (pbr_blob_parse(head, &blob, NULL) == PBR_OK)
        return "blob";
    if (head.len >= 8 && memcmp(head.ptr, catalog, sizeof(catalog)) == 0)
        return "catalog";
    if (head.len && head.ptr[0] == '{')
        return manifest_or_key(cli, path);
    return head.len >= 8 ? archive_or_payload(pbr_get_u64le(head.ptr)) : NULL;
}

static int find_kind(struct pbr_cli *cli, const char *path, const struct kind **ret, struct pbr_diag *diag)
{
    uint8_t head[64];
    size_t len = 0;
    ssize_t n = 1;
    int fd = pbr_openat(AT_FDCWD, path, O_RDONLY | O_NOCTTY, 0);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot open %s", path);
    while (n > 0 && len < sizeof(head)) {
        n = pbr_read_some(fd, head + len, sizeof(head) - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0) {
        const int rc = pbr_fail_os(diag, errno, "cannot read %s", path);
        pbr_close(&fd);
        return rc;
    }
    pbr_close(&fd);
    const char *name = recognise(cli, path, pbr_span(head, len));
    if (!name)
        return pbr_fail_at(diag, PBR_E_FORMAT, NULL, "%s: no magic of a known format", path);
    *ret = kind_named(name);
    return PBR_OK;
}

static int inspect_one(struct pbr_inspect *in, enum pbr_format format, struct pbr_diag *diag)
{
    const char *type = pbr_args_text(in->args, "type");
    const struct kind *kind = type ? kind_named(type) : NULL;
    int rc = kind ? PBR_OK : find_kind(in->cli, in->path, &kind, diag);
    if (rc < 0)
        return rc;
    pbr_view_begin(&in->view, format);
    rc = pbr_view_member(&in->view, "file", pbr_view_name(&in->cli->env, pbr_span_str(in->path)), diag);
    if (rc == PBR_OK)
        rc = pbr_view_member(&in->view, "type", json_string(kind->name), diag);
    if (rc == PBR_OK)
        rc = kind->show(in, diag);
    pbr_view_end(&in->view);
    if (rc < 0)
        pbr_diag_context(diag, "%s", in->path);
    return rc;
}

int pbr_cmd_inspect(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    const enum pbr_format format = pbr_output_format(args);
    const char *const *paths;
    const size_t n = pbr_args_list(args, "file", &paths);
    struct pbr_key_choice key;
    if (n > 1 && pbr_args_has(args, "output"))
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "--output is for one file");
    int rc = pbr_key_load(cli, args, &key, diag);
    for (size_t i = 0; i < n && rc == PBR_OK; i++) {
        struct pbr_inspect in = { .cli = cli, .args = args, .path = paths[i],
                                  .crypt = key.mode == PBR_CRYPT_NONE ? NULL : &key.crypt };
        rc = inspect_one(&in, format, diag);
    }
    pbr_crypt_wipe(&key.crypt);
    return rc;
}
