/* SPDX-License-Identifier: MIT */
/* A pattern, a line end, then paths, one a line (a '/' is put before each; empty parts are left out).
 *
 * Reaches: pbr_pattern_parse, _matches, _matches_path, _text, pbr_pattern_list_*, pbr_pattern_normalise (pattern.c).
 * Asserts: a pattern parsed from its own text matches the same paths; a list of one gives the verdict of its pattern, later
 * patterns win; a pattern without special characters matches just itself; normalising twice changes nothing more. */
#include "fuzz.h"

#include "format/pattern.h"

enum { PATHS = 64, MODE_DIR = 0040755, MODE_REG = 0100644 };

struct subject {
    const struct pbr_pattern *p, *again;
    struct pbr_pattern_list list;
    bool literal;
};

static int give_dir(void *ctx, uint64_t *ret_mode)
{
    ++*(int *)ctx;
    *ret_mode = MODE_DIR;
    return PBR_OK;
}

static void check_path(struct subject *s, struct pbr_span path)
{
    const bool match = pbr_pattern_matches_path(s->p, path);
    MUST(pbr_pattern_matches_path(s->again, path) == match);
    for (int dir = 0; dir < 2; dir++) {
        const bool both = match && (dir || !pbr_pattern_is_dirs_only(s->p));
        const enum pbr_verdict verdict = pbr_pattern_list_verdict(&s->list, path, dir ? MODE_DIR : MODE_REG);
        MUST(pbr_pattern_matches(s->p, path, dir ? MODE_DIR : MODE_REG) == both);
        MUST((verdict != PBR_VERDICT_NONE) == both);
        MUST(!both || (verdict == PBR_VERDICT_INCLUDE) == pbr_pattern_is_include(s->p));
    }
    int calls = 0;
    enum pbr_verdict lazy;
    MUST(pbr_pattern_list_verdict_lazy(&s->list, path, give_dir, &calls, &lazy) == PBR_OK);
    MUST(lazy == pbr_pattern_list_verdict(&s->list, path, MODE_DIR) && calls <= 1);
    const struct pbr_span text = pbr_pattern_text(s->p);
    if (s->literal && text.len > 1 && text.ptr[0] == '/')
        MUST(match == pbr_span_eq(path, text));
}

static bool is_literal(struct pbr_span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (memchr("?*[\\!", text.ptr[i], 5))
            return false;
    return true;
}

static void check_paths(struct subject *s, struct pbr_span lines)
{
    struct pbr_buf path;
    pbr_buf_init(&path, &fuzz_env, lines.len + 1);
    for (size_t at = 0, nr = 0; at <= lines.len && nr < PATHS; nr++) {
        const uint8_t *end = at < lines.len ? memchr(lines.ptr + at, '\n', lines.len - at) : NULL;
        const size_t len = end ? (size_t)(end - (lines.ptr + at)) : lines.len - at;
        pbr_buf_clear(&path);
        MUST(pbr_buf_append_u8(&path, '/') == PBR_OK);
        for (size_t i = at; i < at + len; i++)
            if (lines.ptr[i] != '/' || path.ptr[path.len - 1] != '/')
                MUST(pbr_buf_append_u8(&path, lines.ptr[i]) == PBR_OK);
        check_path(s, pbr_buf_span(&path));
        at += len + 1;
    }
    if (s->literal && !pbr_pattern_is_dirs_only(s->p) && pbr_pattern_text(s->p).ptr[0] == '/')
        MUST(pbr_pattern_matches_path(s->p, pbr_pattern_text(s->p)));
    pbr_buf_release(&path);
}

static void check_normalise(struct pbr_span text)
{
    struct pbr_buf once, twice;
    bool changed, again;
    pbr_buf_init(&once, &fuzz_env, 2 * text.len + 16);
    pbr_buf_init(&twice, &fuzz_env, 2 * text.len + 16);
    MUST(pbr_pattern_normalise(text, &once, &changed) == PBR_OK);
    MUST(changed == !pbr_span_eq(pbr_buf_span(&once), text));
    MUST(pbr_pattern_normalise(pbr_buf_span(&once), &twice, &again) == PBR_OK);
    MUST(!again);
    pbr_buf_release(&once);
    pbr_buf_release(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *line_end = len ? memchr(data, '\n', len) : NULL;
    const struct pbr_span in = pbr_span(data, len);
    const struct pbr_span text = pbr_span_sub(in, 0, line_end ? (size_t)(line_end - data) : len);
    for (int anchored = 0; anchored < 2; anchored++) {
        struct pbr_pattern *p = NULL, *again = NULL;
        struct pbr_diag diag = { 0 };
        const int rc = pbr_pattern_parse(&fuzz_env, text, false, anchored, &p, &diag);
        MUST(rc == (int)diag.code && (rc == PBR_OK || diag.rule || rc == PBR_E_LIMIT));
        if (rc < 0)
            continue;
        struct subject s = { .p = p, .literal = is_literal(pbr_pattern_text(p)) };
        pbr_pattern_list_init(&s.list, &fuzz_env);
        MUST(pbr_pattern_list_add(&s.list, text, false, anchored, NULL) == PBR_OK);
        /* a text that begins with '!' would flip when parsed again */
        if (pbr_pattern_text(p).ptr[0] != '!') {
            MUST(pbr_pattern_parse(&fuzz_env, pbr_pattern_text(p), false, anchored, &again, NULL) == PBR_OK);
            MUST(pbr_span_eq(pbr_pattern_text(p), pbr_pattern_text(again)));
        }
        s.again = again ? again : p;
        check_paths(&s, pbr_span_sub(in, text.len + 1, len));
        pbr_pattern_free(p);
        pbr_pattern_free(again);
        pbr_pattern_list_release(&s.list);
    }
    check_normalise(text);
    return 0;
}
