/* SPDX-License-Identifier: MIT */
/* Scripted misbehaviour; see fault.h. */
#include "proto/fault.h"

#include <string.h>

enum value_kind { NO_VALUE, NUMBER, STATUS };

static const struct {
    const char *word; /* up to '=' */
    enum pbr_fault_what what;
    enum value_kind value;
    uint64_t max;
} actions[] = {
    { "status", PBR_FAULT_STATUS, STATUS, 599 },
    { "delay", PBR_FAULT_DELAY, NUMBER, 600000 },
    { "reset", PBR_FAULT_RESET, NO_VALUE, 0 },
    { "close", PBR_FAULT_CLOSE, NO_VALUE, 0 },
    { "goaway", PBR_FAULT_GOAWAY, NO_VALUE, 0 },
    { "rst-stream", PBR_FAULT_RST_STREAM, NO_VALUE, 0 },
    { "short", PBR_FAULT_SHORT, NUMBER, UINT32_MAX },
    { "corrupt", PBR_FAULT_CORRUPT, NUMBER, UINT32_MAX },
    { "stall", PBR_FAULT_STALL, NO_VALUE, 0 },
    { "window", PBR_FAULT_WINDOW, NUMBER, INT32_MAX },
    { "lie=known", PBR_FAULT_LIE_KNOWN, NO_VALUE, 0 },
    { "lie=csum", PBR_FAULT_LIE_CSUM, NO_VALUE, 0 },
    { "lie=size", PBR_FAULT_LIE_SIZE, NO_VALUE, 0 },
    { "enospc", PBR_FAULT_ENOSPC, NO_VALUE, 0 },
};

static const struct {
    const char *word;
    enum pbr_fault_where where;
} places[] = { { "accept", PBR_FAULT_AT_ACCEPT },
               { "upgrade", PBR_FAULT_AT_UPGRADE },
               { "chunk-read", PBR_FAULT_AT_CHUNK_READ },
               { "chunk-write", PBR_FAULT_AT_CHUNK_WRITE } };

static int bad(struct pbr_diag *diag, const char *why)
{
    return pbr_fail_at(diag, PBR_E_ARG, NULL, "fault: %s (expected WHERE#N:WHAT)", why);
}

static size_t find(struct pbr_span in, uint8_t what)
{
    size_t i = 0;
    while (i < in.len && in.ptr[i] != what)
        i++;
    return i;
}

static bool copy(struct pbr_span in, char *out, size_t cap)
{
    if (in.len == 0 || in.len >= cap)
        return false;
    memcpy(out, in.ptr, in.len);
    out[in.len] = '\0';
    return true;
}

static int parse_where(struct pbr_fault_spec *f, struct pbr_span in, struct pbr_diag *diag)
{
    const size_t space = find(in, ' ');
    const struct pbr_span word = pbr_span_sub(in, 0, space),
                          rest = pbr_span_sub(in, space + 1, in.len);

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (!pbr_span_eq_str(word, places[i].word))
            continue;
        f->where = places[i].where;
        if (!copy(rest.len ? rest : pbr_span_str("*"), f->pattern, sizeof(f->pattern)))
            return bad(diag, "place too long");
        return PBR_OK;
    }
    f->where = PBR_FAULT_AT_REQUEST;
    if (!copy(word, f->method, sizeof(f->method)) || !copy(rest, f->pattern, sizeof(f->pattern)))
        return bad(diag,
                   "place is neither \"METHOD PATH\" nor accept, upgrade, chunk-read, chunk-write");
    return PBR_OK;
}

static int parse_count(struct pbr_fault_spec *f, struct pbr_span in, struct pbr_diag *diag)
{
    f->first = f->last = 1;
    if (in.len == 0)
        return PBR_OK;
    if (pbr_span_eq_str(in, "*")) {
        f->last = UINT64_MAX;
        return PBR_OK;
    }
    const bool onward = in.ptr[in.len - 1] == '+';
    if (!pbr_parse_u64(pbr_span_sub(in, 0, in.len - onward), 1, UINT64_MAX, &f->first))
        return bad(diag, "count is neither N, N+ nor *");
    f->last = onward ? UINT64_MAX : f->first;
    return PBR_OK;
}

static int parse_value(struct pbr_fault_spec *f, enum value_kind kind, uint64_t max,
                       struct pbr_span in, struct pbr_diag *diag)
{
    if (kind == STATUS) {
        const size_t comma = find(in, ',');
        const struct pbr_span text = pbr_span_sub(in, comma + 1, in.len);
        if (text.len > 0 && !copy(text, f->text, sizeof(f->text)))
            return bad(diag, "status text too long");
        in = pbr_span_sub(in, 0, comma);
    }
    if (!pbr_parse_u64(in, kind == STATUS ? 200 : 0, max, &f->value))
        return bad(diag, "value missing or out of range");
    return PBR_OK;
}

static int parse_what(struct pbr_fault_spec *f, struct pbr_span in, struct pbr_diag *diag)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        const size_t len = strlen(actions[i].word);
        if (!pbr_span_starts(in, actions[i].word))
            continue;
        f->what = actions[i].what;
        if (actions[i].value == NO_VALUE && in.len == len)
            return PBR_OK;
        if (actions[i].value != NO_VALUE && in.len > len && in.ptr[len] == '=')
            return parse_value(f, actions[i].value, actions[i].max,
                               pbr_span_sub(in, len + 1, in.len), diag);
    }
    return bad(diag, "unknown action");
}

int pbr_fault_spec_parse(struct pbr_fault_spec *ret, struct pbr_span text, struct pbr_diag *diag)
{
    struct pbr_fault_spec f = { .method = "*" };
    const size_t hash = find(text, '#');
    const struct pbr_span tail = pbr_span_sub(text, hash + 1, text.len);
    struct pbr_span where, count, what;

    if (hash < text.len) {
        const size_t colon = find(tail, ':');
        where = pbr_span_sub(text, 0, hash);
        count = pbr_span_sub(tail, 0, colon);
        what = pbr_span_sub(tail, colon + 1, tail.len);
    } else {
        const size_t colon = find(text, ':');
        where = pbr_span_sub(text, 0, colon);
        count = pbr_span(NULL, 0);
        what = pbr_span_sub(text, colon + 1, text.len);
    }
    int rc = parse_where(&f, where, diag);
    if (rc == PBR_OK)
        rc = parse_count(&f, count, diag);
    if (rc == PBR_OK)
        rc = parse_what(&f, what, diag);
    if (rc == PBR_OK && f.what == PBR_FAULT_WINDOW && f.where != PBR_FAULT_AT_ACCEPT &&
        f.where != PBR_FAULT_AT_UPGRADE)
        rc = bad(diag, "window= goes with accept or upgrade");
    if (rc == PBR_OK)
        *ret = f;
    return rc;
}

bool pbr_pattern_match(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == '?' || *pattern == *text) {
            pattern++;
            text++;
        } else if (star) { /* let the last star take one more */
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool pbr_fault_spec_step(struct pbr_fault_spec *f, enum pbr_fault_where where, const char *method,
                         const char *subject)
{
    if (f->where != where || (strcmp(f->method, "*") != 0 && strcmp(f->method, method) != 0) ||
        !pbr_pattern_match(f->pattern, subject))
        return false;
    f->seen++;
    return f->seen >= f->first && f->seen <= f->last;
}
