/* SPDX-License-Identifier: MIT */
/* A pattern and paths. Input: see support/pattern.h.
 *
 * Reaches: pbr_pattern_parse, _matches, _matches_path, _text, pbr_pattern_list_*, pbr_pattern_normalise (pattern.c).
 * Asserts: a pattern parsed from its own text matches the same paths; a list of one gives the verdict of its pattern, later
 * patterns win; a pattern without special characters matches just itself; normalising twice changes nothing more. */
#include "format/pattern.h"
#include "support/pattern.h"

enum { MODE_DIR = 0040755, MODE_REG = 0100644 };

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

static void check_paths(struct subject *s, struct fuzz_pattern in)
{
    struct pbr_buf path;
    pbr_buf_init(&path, &fuzz_env, in.paths.len + 1);
    while (fuzz_pattern_next(&in, &path))
        check_path(s, pbr_buf_span(&path));
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
    const struct fuzz_pattern in = fuzz_pattern_get(pbr_span(data, len));
    const struct pbr_span text = in.text;
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
        check_paths(&s, in);
        pbr_pattern_free(p);
        pbr_pattern_free(again);
        pbr_pattern_list_release(&s.list);
    }
    check_normalise(text);
    return 0;
}
