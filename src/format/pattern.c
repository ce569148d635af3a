/* SPDX-License-Identifier: MIT */
/* Patterns; see pattern.h. A pattern becomes a row of ops; matching keeps the set of ops that may come next and moves it
 * over the path byte by byte, so that there is no backtracking. Suffixes (CRT-086) cost nothing extra: the first op
 * joins the set again behind every slash. */
#include "format/pattern.h"

#include <assert.h>
#include <string.h>

#include "base/limits.h"

enum op_kind {
    OP_BYTE,      /* exactly `byte` */
    OP_ANY,       /* one byte but '/' */
    OP_CLASS,     /* one byte of class number `arg` */
    OP_STAR,      /* bytes but '/', also none */
    OP_REST,      /* any bytes, also none */
    OP_DEEP,      /* the next op (OP_DEEP_RUN) or nothing */
    OP_DEEP_RUN,  /* any bytes that end with '/' */
};

struct op {
    uint8_t kind;
    uint8_t byte;
    uint16_t arg;
};

struct class_set {
    uint64_t bits[4];
};

struct pbr_pattern {
    const struct pbr_env *env;
    bool include, dirs_only, anchored;
    bool literal;    /* only OP_BYTE: compared as a block */
    bool one_name;   /* cannot match '/': only the last component is looked at */
    size_t text_len, op_nr, class_nr;
    struct class_set *classes;
    struct op *ops;
    uint8_t *text;
};

enum {
    MATCH_OPS_MAX = PBR_PATTERN_MAX + 1, /* each op comes from at least one byte, OP_DEEP + OP_DEEP_RUN from three */
    MATCH_WORDS = (MATCH_OPS_MAX + 64) / 64,
};

/* ---- parsing ---- */

static bool class_has(const struct class_set *set, uint8_t byte)
{
    return set->bits[byte >> 6] >> (byte & 63) & 1;
}

static void class_add(struct class_set *set, unsigned low, unsigned high)
{
    for (unsigned byte = low; byte <= high; byte++)
        set->bits[byte >> 6] |= UINT64_C(1) << (byte & 63);
}

/* Named classes are ASCII only (CRT-077); print includes DEL, space lacks VT (CRT-078). */
static const struct {
    const char *name;
    uint8_t ranges[8]; /* pairs low, high; 0 ends; NUL is in no path, so cntrl need not have it */
} NAMED[] = {
    { "alnum", { '0', '9', 'A', 'Z', 'a', 'z' } },
    { "alpha", { 'A', 'Z', 'a', 'z' } },
    { "blank", { ' ', ' ', '\t', '\t' } },
    { "cntrl", { 0x7f, 0x7f, 0x01, 0x1f } },
    { "digit", { '0', '9' } },
    { "graph", { 0x21, 0x7e } },
    { "lower", { 'a', 'z' } },
    { "print", { 0x20, 0x7f } },
    { "punct", { 0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e } },
    { "space", { ' ', ' ', '\t', '\n', '\f', '\r' } },
    { "upper", { 'A', 'Z' } },
    { "xdigit", { '0', '9', 'A', 'F', 'a', 'f' } },
};

static bool class_add_named(struct class_set *set, struct pbr_span name)
{
    for (size_t i = 0; i < sizeof(NAMED) / sizeof(NAMED[0]); i++) {
        if (!pbr_span_eq_str(name, NAMED[i].name))
            continue;
        for (size_t r = 0; r < sizeof(NAMED[i].ranges) && NAMED[i].ranges[r] != 0; r += 2)
            class_add(set, NAMED[i].ranges[r], NAMED[i].ranges[r + 1]);
        return true;
    }
    return false;
}

/* `[:name:]` at *pos, which is moved behind it. */
static int parse_named(struct pbr_span text, size_t *pos, struct class_set *set, struct pbr_diag *diag)
{
    const size_t begin = *pos + 2;
    for (size_t end = begin; end + 1 < text.len; end++) {
        if (text.ptr[end] != ':' || text.ptr[end + 1] != ']')
            continue;
        if (!class_add_named(set, pbr_span_sub(text, begin, end - begin)))
            break;
        *pos = end + 2;
        return PBR_OK;
    }
    return pbr_fail(diag, PBR_E_ARG, "CRT-077", *pos, "malformed named character class in pattern");
}

/* One byte of a class, `\X` resolved. False: the pattern ends here. */
static bool class_byte(struct pbr_span text, size_t *pos, uint8_t *ret)
{
    if (*pos < text.len && text.ptr[*pos] == '\\')
        (*pos)++;
    if (*pos >= text.len)
        return false;
    *ret = text.ptr[(*pos)++];
    return true;
}

/* `[...]` at *pos, which is moved behind it (CRT-077 .. CRT-082). */
static int parse_class(struct pbr_span text, size_t *pos, struct class_set *ret, struct pbr_diag *diag)
{
    const size_t start = *pos;
    struct class_set set = { { 0 } };
    size_t at = start + 1;
    bool dash_is_literal = true; /* first, or behind a named class or range */
    const bool negate = at < text.len && text.ptr[at] == '^';

    at += negate;
    while (at < text.len && text.ptr[at] != ']') { /* `]` always ends the class [CRT-080] */
        uint8_t low, high;
        if (text.ptr[at] == '[' && at + 1 < text.len && text.ptr[at + 1] == ':') {
            const int rc = parse_named(text, &at, &set, diag);
            if (rc < 0)
                return rc;
            dash_is_literal = true;
            continue;
        }
        const bool literal_dash = dash_is_literal && text.ptr[at] == '-';
        if (!class_byte(text, &at, &low))
            break;
        high = low;
        dash_is_literal = false;
        if (!literal_dash && at < text.len && text.ptr[at] == '-') {
            at++;
            if (!class_byte(text, &at, &high)) /* also takes a `]` as end of the range [CRT-082] */
                break;
            dash_is_literal = true;
        }
        class_add(&set, low < high ? low : high, low < high ? high : low);
    }
    if (at >= text.len)
        return pbr_fail(diag, PBR_E_ARG, "CRT-082", start, "unclosed character class in pattern");
    for (size_t i = 0; negate && i < 4; i++)
        set.bits[i] = ~set.bits[i];
    *ret = set;
    *pos = at + 1;
    return PBR_OK;
}

/* A run of stars at *pos (CRT-075, CRT-076). */
static void parse_stars(struct pbr_pattern *p, struct pbr_span text, size_t *pos)
{
    const size_t start = *pos;
    size_t end = start;
    while (end < text.len && text.ptr[end] == '*')
        end++;
    const bool at_start = start == 0 || text.ptr[start - 1] == '/';
    const bool at_end = end == text.len || text.ptr[end] == '/';

    *pos = end;
    if (end - start < 2 || !at_start || !at_end) {
        p->ops[p->op_nr++].kind = OP_STAR;
    } else if (end == text.len) {
        p->ops[p->op_nr++].kind = OP_REST;
    } else {
        p->ops[p->op_nr++].kind = OP_DEEP;
        p->ops[p->op_nr++].kind = OP_DEEP_RUN;
        *pos = end + 1; /* the slash belongs to it */
    }
}

static int parse_op(struct pbr_pattern *p, struct pbr_span text, size_t *pos, struct pbr_diag *diag)
{
    struct op *op = &p->ops[p->op_nr];
    const uint8_t byte = text.ptr[*pos];

    if (byte == '*') {
        parse_stars(p, text, pos);
        return PBR_OK;
    }
    if (byte == '[') {
        const int rc = parse_class(text, pos, &p->classes[p->class_nr], diag);
        if (rc < 0)
            return rc;
        *op = (struct op){ .kind = OP_CLASS, .arg = (uint16_t)p->class_nr++ };
        p->op_nr++;
        return PBR_OK;
    }
    if (byte == '\\' && ++*pos == text.len)
        return pbr_fail(diag, PBR_E_ARG, "CRT-072", *pos - 1, "trailing backslash in pattern");
    *op = (struct op){ .kind = byte == '?' ? OP_ANY : OP_BYTE, .byte = text.ptr[*pos] };
    p->op_nr++;
    (*pos)++;
    return PBR_OK;
}

/* Which shortcuts apply. */
static void classify(struct pbr_pattern *p)
{
    p->literal = true;
    p->one_name = !p->anchored;
    for (size_t i = 0; i < p->op_nr; i++) {
        const struct op *op = &p->ops[i];
        p->literal &= op->kind == OP_BYTE;
        if (op->kind == OP_REST || op->kind == OP_DEEP || (op->kind == OP_BYTE && op->byte == '/') ||
            (op->kind == OP_CLASS && class_has(&p->classes[op->arg], '/')))
            p->one_name = false;
    }
}

/* Object, classes, ops and text in one piece of memory. */
static struct pbr_pattern *pattern_alloc(const struct pbr_env *env, struct pbr_span text)
{
    size_t class_max = 0;
    for (size_t i = 0; i < text.len; i++)
        class_max += text.ptr[i] == '[';
    const size_t classes_at = (sizeof(struct pbr_pattern) + 7) & ~(size_t)7;
    const size_t ops_at = classes_at + class_max * sizeof(struct class_set);
    const size_t text_at = ops_at + (text.len + 1) * sizeof(struct op);
    uint8_t *mem = pbr_alloc(env, text_at + text.len, 1);
    if (!mem)
        return NULL;

    struct pbr_pattern *p = (struct pbr_pattern *)(void *)mem;
    p->env = env;
    p->classes = (struct class_set *)(void *)(mem + classes_at);
    p->ops = (struct op *)(void *)(mem + ops_at);
    p->text = mem + text_at;
    p->text_len = text.len;
    memcpy(p->text, text.ptr, text.len);
    return p;
}

int pbr_pattern_parse(const struct pbr_env *env, struct pbr_span text, bool include, bool anchored,
                      struct pbr_pattern **ret, struct pbr_diag *diag)
{
    bool dirs_only = false;
    size_t pos = 0;

    if (text.len > PBR_PATTERN_MAX)
        return pbr_fail_at(diag, PBR_E_LIMIT, NULL, "pattern of %zu bytes, at most %d are allowed", text.len,
                           PBR_PATTERN_MAX);
    if (text.len > 0 && text.ptr[0] == '!') { /* [CRT-070] */
        include = !include;
        text = pbr_span_sub(text, 1, text.len - 1);
    }
    while (text.len > 0 && text.ptr[text.len - 1] == '/') { /* [CRT-071] */
        dirs_only = true;
        text.len--;
    }
    if (text.len == 0) {
        dirs_only = true;
        text = pbr_span("/", 1);
    }
    const uint8_t *nul = memchr(text.ptr, 0, text.len);
    if (nul)
        return pbr_fail(diag, PBR_E_ARG, "CRT-072", (uint64_t)(nul - text.ptr), "null-byte in pattern");

    struct pbr_pattern *p = pattern_alloc(env, text);
    if (!p)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a pattern");
    p->include = include;
    p->dirs_only = dirs_only;
    p->anchored = anchored;
    while (pos < text.len) {
        const int rc = parse_op(p, text, &pos, diag);
        if (rc < 0) {
            pbr_pattern_free(p);
            return rc;
        }
    }
    classify(p);
    *ret = p;
    return PBR_OK;
}

void pbr_pattern_free(struct pbr_pattern *p)
{
    if (p)
        pbr_free(p->env, p);
}

bool pbr_pattern_is_include(const struct pbr_pattern *p)
{
    return p->include;
}

bool pbr_pattern_is_dirs_only(const struct pbr_pattern *p)
{
    return p->dirs_only;
}

struct pbr_span pbr_pattern_text(const struct pbr_pattern *p)
{
    return pbr_span(p->text, p->text_len);
}

/* ---- matching ---- */

struct op_set {
    uint64_t bits[MATCH_WORDS];
};

/* Adds op i and what follows without taking a byte. */
static void set_add(const struct pbr_pattern *p, struct op_set *set, size_t i)
{
    for (;;) {
        set->bits[i >> 6] |= UINT64_C(1) << (i & 63);
        if (i == p->op_nr)
            return;
        const enum op_kind kind = p->ops[i].kind;
        if (kind == OP_DEEP) {
            set->bits[(i + 1) >> 6] |= UINT64_C(1) << ((i + 1) & 63);
            i += 2;
        } else if (kind == OP_STAR || kind == OP_REST) {
            i++;
        } else {
            return;
        }
    }
}

/* Adds to `next` where op i leads with this byte. */
static void set_step(const struct pbr_pattern *p, struct op_set *next, size_t i, uint8_t byte)
{
    const struct op *op = &p->ops[i];
    switch ((enum op_kind)op->kind) {
    case OP_BYTE:
        if (op->byte == byte)
            set_add(p, next, i + 1);
        break;
    case OP_ANY:
        if (byte != '/')
            set_add(p, next, i + 1);
        break;
    case OP_CLASS:
        if (class_has(&p->classes[op->arg], byte))
            set_add(p, next, i + 1);
        break;
    case OP_STAR:
        if (byte != '/')
            set_add(p, next, i);
        break;
    case OP_REST:
        set_add(p, next, i);
        break;
    case OP_DEEP:
        break; /* OP_DEEP_RUN does the work */
    case OP_DEEP_RUN:
        set_add(p, next, i);
        if (byte == '/')
            set_add(p, next, i + 1);
        break;
    }
}

/* `path`, or with `suffixes` also a part of it that begins behind a slash, matches completely. */
static bool run_ops(const struct pbr_pattern *p, struct pbr_span path, bool suffixes)
{
    struct op_set sets[2];
    const size_t words = p->op_nr / 64 + 1; /* op_nr itself is the accepting state */
    unsigned cur = 0;

    memset(sets[0].bits, 0, words * sizeof(uint64_t));
    set_add(p, &sets[0], 0);
    for (size_t at = 0; at < path.len; at++) {
        const uint8_t byte = path.ptr[at];
        struct op_set *next = &sets[1 - cur];
        memset(next->bits, 0, words * sizeof(uint64_t));
        for (size_t w = 0; w < words; w++) {
            for (uint64_t left = sets[cur].bits[w]; left; left &= left - 1) {
                const size_t i = w * 64 + (size_t)__builtin_ctzll(left);
                if (i < p->op_nr)
                    set_step(p, next, i, byte);
            }
        }
        if (suffixes && byte == '/')
            set_add(p, next, 0);
        cur = 1 - cur;
    }
    return sets[cur].bits[p->op_nr >> 6] >> (p->op_nr & 63) & 1;
}

/* Only OP_BYTE: the path ends with these bytes, and they begin at its start or behind a slash. */
static bool match_literal(const struct pbr_pattern *p, struct pbr_span path)
{
    const size_t n = p->op_nr;
    if (n > path.len)
        return false;
    const uint8_t *tail = path.ptr + (path.len - n);
    if (n < path.len && (p->anchored || tail[-1] != '/'))
        return false;
    for (size_t i = n; i-- > 0;)
        if (p->ops[i].byte != tail[i])
            return false;
    return true;
}

bool pbr_pattern_matches_path(const struct pbr_pattern *p, struct pbr_span path)
{
    if (p->literal)
        return match_literal(p, path);
    if (!p->one_name)
        return run_ops(p, path, !p->anchored);
    /* the shortest suffix is the only one without a slash */
    size_t at = path.len;
    while (at > 0 && path.ptr[at - 1] != '/')
        at--;
    return run_ops(p, pbr_span_sub(path, at, path.len - at), false);
}

/* File type bits of st_mode, as the format fixes them (PXAR-051). */
static bool mode_is_dir(uint64_t mode)
{
    return (mode & 0170000) == 0040000;
}

bool pbr_pattern_matches(const struct pbr_pattern *p, struct pbr_span path, uint64_t mode)
{
    return (!p->dirs_only || mode_is_dir(mode)) && pbr_pattern_matches_path(p, path);
}

/* ---- list ---- */

void pbr_pattern_list_init(struct pbr_pattern_list *l, const struct pbr_env *env)
{
    *l = (struct pbr_pattern_list){ .env = env };
}

void pbr_pattern_list_release(struct pbr_pattern_list *l)
{
    if (!l->env)
        return;
    pbr_pattern_list_cut(l, 0);
    pbr_free(l->env, l->items);
    *l = (struct pbr_pattern_list){ .env = l->env };
}

int pbr_pattern_list_add(struct pbr_pattern_list *l, struct pbr_span text, bool include, bool anchored,
                         struct pbr_diag *diag)
{
    if (l->nr >= PBR_PATTERNS_MAX)
        return pbr_fail_at(diag, PBR_E_LIMIT, NULL, "more than %d patterns", PBR_PATTERNS_MAX);
    if (l->nr == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 16;
        struct pbr_pattern **items = pbr_realloc(l->env, l->items, cap * sizeof(*items));
        if (!items)
            return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for patterns");
        l->items = items;
        l->cap = cap;
    }
    const int rc = pbr_pattern_parse(l->env, text, include, anchored, &l->items[l->nr], diag);
    if (rc == PBR_OK)
        l->nr++;
    return rc;
}

void pbr_pattern_list_cut(struct pbr_pattern_list *l, size_t n)
{
    assert(n <= l->nr);
    while (l->nr > n)
        pbr_pattern_free(l->items[--l->nr]);
}

static int mode_known(void *ctx, uint64_t *ret_mode)
{
    *ret_mode = *(const uint64_t *)ctx;
    return PBR_OK;
}

enum pbr_verdict pbr_pattern_list_verdict(const struct pbr_pattern_list *l, struct pbr_span path, uint64_t mode)
{
    enum pbr_verdict verdict = PBR_VERDICT_NONE;
    const int rc = pbr_pattern_list_verdict_lazy(l, path, mode_known, &mode, &verdict);
    assert(rc == PBR_OK); /* mode_known never fails */
    (void)rc;
    return verdict;
}

int pbr_pattern_list_verdict_lazy(const struct pbr_pattern_list *l, struct pbr_span path,
                                  int (*get_mode)(void *ctx, uint64_t *ret_mode), void *ctx, enum pbr_verdict *ret)
{
    bool have_mode = false;
    uint64_t mode = 0;

    for (size_t i = l->nr; i-- > 0;) { /* last to first, the first match decides [CRT-092] */
        const struct pbr_pattern *p = l->items[i];
        if (p->dirs_only && !have_mode) { /* [CRT-093] */
            const int rc = get_mode(ctx, &mode);
            if (rc != PBR_OK)
                return rc;
            have_mode = true;
        }
        if (!pbr_pattern_matches(p, path, mode))
            continue;
        *ret = p->include ? PBR_VERDICT_INCLUDE : PBR_VERDICT_EXCLUDE;
        return PBR_OK;
    }
    *ret = PBR_VERDICT_NONE;
    return PBR_OK;
}

/* ---- normalisation ---- */

/* Takes the last component off what was appended since `start` (the leading slash stays). */
static void drop_component(struct pbr_buf *out, size_t start)
{
    while (out->len > start && out->ptr[out->len - 1] != '/')
        out->len--;
    if (out->len > start + 1)
        out->len--; /* the slash in front of it */
}

static int append_component(struct pbr_buf *out, size_t start, struct pbr_span part)
{
    int rc = PBR_OK;
    if (out->len > start && out->ptr[out->len - 1] != '/')
        rc = pbr_buf_append_u8(out, '/');
    return rc < 0 ? rc : pbr_buf_append(out, part);
}

int pbr_pattern_normalise(struct pbr_span text, struct pbr_buf *out, bool *ret_changed)
{
    const size_t start = out->len;
    const bool rooted = text.len > 0 && text.ptr[0] == '/';
    int rc = rooted ? pbr_buf_append_u8(out, '/') : PBR_OK;

    for (size_t at = 0; rc == PBR_OK && at < text.len;) {
        size_t end = at;
        while (end < text.len && text.ptr[end] != '/')
            end++;
        const struct pbr_span part = pbr_span_sub(text, at, end - at);
        if (pbr_span_eq_str(part, ".."))
            drop_component(out, start);
        else if (part.len > 0 && !pbr_span_eq_str(part, "."))
            rc = append_component(out, start, part);
        at = end + 1;
    }
    if (rc == PBR_OK && text.len > 0 && text.ptr[text.len - 1] == '/' &&
        (out->len == start || out->ptr[out->len - 1] != '/'))
        rc = pbr_buf_append_u8(out, '/');
    if (rc < 0) {
        out->len = start;
        return rc;
    }
    *ret_changed = !pbr_span_eq(text, pbr_span_sub(pbr_buf_span(out), start, out->len - start));
    return PBR_OK;
}
