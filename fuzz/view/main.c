/* SPDX-License-Identifier: MIT */
/* usage: fuzz-view KIND FILE...    one line of JSON a file; see view.h. */
#include "view/view.h"

#include "prim/prim.h"

static const struct kind {
    const char *name;
    view_fn *view;
} kinds[] = {
    { "pxar", view_pxar },         { "pair", view_pair },       { "index", view_index },
    { "blob", view_blob },         { "catalog", view_catalog }, { "manifest", view_manifest },
    { "keyfile", view_keyfile },   { "pattern", view_pattern }, { "chunk", view_chunk },
    { "tree", view_tree },
};

enum { FILE_MAX = 64 << 20 };

json_t *view_u64(uint64_t v)
{
    return json_sprintf("%" PRIu64, v);
}

json_t *view_i64(int64_t v)
{
    return json_sprintf("%" PRId64, v);
}

json_t *view_hex(struct pbr_span in)
{
    char *text = malloc(2 * in.len + 1);
    MUST(text);
    text[0] = 0;
    pbr_format_hex(in.ptr, in.len, text);
    json_t *v = json_string(text);
    free(text);
    return v;
}

json_t *view_sha256(struct pbr_span in)
{
    uint8_t digest[PBR_DIGEST_LEN];
    MUST(pbr_sha256(in, pbr_span(NULL, 0), digest) == PBR_OK);
    return view_hex(pbr_span(digest, sizeof(digest)));
}

static void read_file(const char *path, struct pbr_buf *out)
{
    FILE *f = fopen(path, "rb");
    uint8_t part[65536];
    if (!f) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    for (size_t n; (n = fread(part, 1, sizeof(part), f)) > 0;)
        MUST(pbr_buf_append(out, pbr_span(part, n)) == PBR_OK);
    (void)fclose(f);
}

int main(int argc, char **argv)
{
    const struct kind *kind = NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && argc > 1; i++)
        if (strcmp(kinds[i].name, argv[1]) == 0)
            kind = &kinds[i];
    if (!kind) {
        (void)fprintf(stderr, "usage: fuzz-view pxar|pair|index|blob|catalog|manifest|keyfile|pattern|chunk|tree FILE...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        struct pbr_buf in;
        struct pbr_diag diag = { 0 };
        pbr_buf_init(&in, &fuzz_env, FILE_MAX);
        read_file(argv[i], &in);
        json_t *view = kind->view(pbr_buf_span(&in), &diag);
        json_t *line = json_pack("{s:b, s:s?, s:b, s:o}", "accept", view != NULL, "rule", view ? NULL : diag.rule, "limit",
                                 !view && diag.code == PBR_E_LIMIT, "view", view ? view : json_null());
        MUST(line && json_dumpf(line, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF);
        json_decref(line);
        pbr_buf_release(&in);
    }
    return 0;
}
