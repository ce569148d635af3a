/* SPDX-License-Identifier: MIT */
/* Parameters of a call; see schema.h. */
#include "proto/schema.h"

#include <stdio.h>
#include <string.h>

#include "format/manifest.h"

/* Collects refusals: the first as "parameter verification failed - 'x': reason", several as a list
 * (BKP-031). */
struct errors {
    struct pbr_buf *text;
    size_t nr;
    int rc; /* PBR_E_NOMEM and the like */
};

static const char head_one[] = "parameter verification failed - ";
static const char head_many[] = "parameter verification failed:\n- ";

static void turn_into_list(struct errors *e)
{
    struct pbr_buf *b = e->text;
    const size_t old = sizeof(head_one) - 1, new = sizeof(head_many) - 1;
    uint8_t *room;

    e->rc = pbr_buf_reserve(b, new - old, &room);
    if (e->rc < 0)
        return;
    memmove(b->ptr + new, b->ptr + old, b->len - old);
    memcpy(b->ptr, head_many, new);
    b->len += new - old;
}

static void refuse(struct errors *e, const char *name, const char *reason)
{
    if (e->rc < 0)
        return;
    if (e->nr == 1)
        turn_into_list(e);
    if (e->rc < 0)
        return;
    e->rc = pbr_buf_printf(e->text, "%s'%s': %s", e->nr == 0 ? head_one : "\n- ", name, reason);
    e->nr++;
}

static void refuse_element(struct errors *e, const char *name, bool element, size_t at,
                           const char *reason)
{
    char full[160];
    if (element)
        (void)snprintf(full, sizeof(full), "%s/[%zu]", name, at);
    else
        (void)snprintf(full, sizeof(full), "%s", name);
    refuse(e, full, reason);
}

static int verdict(const struct errors *e)
{
    if (e->rc < 0)
        return e->rc;
    return e->nr > 0 ? PBR_E_ARG : PBR_OK;
}

void pbr_params_init(struct pbr_params *p, const struct pbr_env *env,
                     const struct pbr_schema *schema)
{
    memset(p, 0, sizeof(*p));
    p->env = env;
    p->schema = schema;
}

void pbr_params_release(struct pbr_params *p)
{
    if (!p->env)
        return;
    for (size_t i = 0; i < PBR_PARAMS_MAX; i++) {
        pbr_free(p->env, p->val[i].strs);
        pbr_free(p->env, p->val[i].nums);
    }
    pbr_form_release(&p->form[0]);
    pbr_form_release(&p->form[1]);
    json_decref(p->json);
    memset(p, 0, sizeof(*p));
}

/* `word` is lower case. */
static bool same_word(struct pbr_span text, const char *word)
{
    size_t i = 0;

    for (; i < text.len && word[i]; i++) {
        const uint8_t c = text.ptr[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != (uint8_t)word[i])
            return false;
    }
    return i == text.len && word[i] == '\0';
}

bool pbr_bool_parse(struct pbr_span text, bool *ret)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = { { "1", true },  { "on", true },   { "yes", true }, { "true", true },
                  { "0", false }, { "off", false }, { "no", false }, { "false", false } };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!same_word(text, words[i].word))
            continue;
        *ret = words[i].value;
        return true;
    }
    return false;
}

/* ---- values ---- */

/* NULL, or the reason (static or in `room`). */
static const char *check_str(const struct pbr_param_def *d, struct pbr_span v, char *room,
                             size_t cap)
{
    if (v.len < d->min_len) {
        (void)snprintf(room, cap, "value must be at least %zu characters long", d->min_len);
        return room;
    }
    if (d->max_len && v.len > d->max_len) {
        (void)snprintf(room, cap, "value may only be %zu characters long", d->max_len);
        return room;
    }
    if (d->match && !d->match(v))
        return "value does not match the regex pattern";
    if (!d->words)
        return NULL;
    for (const char *const *w = d->words; *w; w++)
        if (pbr_span_eq_str(v, *w))
            return NULL;
    (void)snprintf(room, cap, "value '%.*s' is not defined in the enumeration.",
                   (int)(v.len < 100 ? v.len : 100), (const char *)v.ptr);
    return room;
}

static const char *check_int(const struct pbr_param_def *d, int64_t v, char *room, size_t cap)
{
    if (v < d->min) {
        (void)snprintf(room, cap,
                       "value must have a minimum value of %" PRId64 " (got %" PRId64 ")", d->min,
                       v);
        return room;
    }
    if (d->has_max && v > d->max) {
        (void)snprintf(room, cap,
                       "value must have a maximum value of %" PRId64 " (got %" PRId64 ")", d->max,
                       v);
        return room;
    }
    return NULL;
}

/* The texts of the original's integer parser. */
static const char *parse_int(struct pbr_span in, int64_t *ret)
{
    struct pbr_span digits = in;

    if (in.len == 0)
        return "cannot parse integer from empty string";
    if (in.ptr[0] == '+')
        in = digits = pbr_span_sub(in, 1, in.len);
    else if (in.ptr[0] == '-')
        digits = pbr_span_sub(in, 1, in.len);
    if (digits.len == 0)
        return "invalid digit found in string";
    for (size_t i = 0; i < digits.len; i++)
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return "invalid digit found in string";
    if (pbr_parse_i64(in, INT64_MIN, INT64_MAX, ret))
        return NULL;
    return digits.ptr != in.ptr ? "number too small to fit in target type"
                                : "number too large to fit in target type";
}

static int list_push_str(const struct pbr_env *env, struct pbr_param *v, struct pbr_span text)
{
    if ((v->nr & (v->nr - 1)) == 0) { /* grows at powers of two */
        struct pbr_span *p = pbr_realloc(env, v->strs, (v->nr ? v->nr * 2 : 1) * sizeof(*p));
        if (!p)
            return PBR_E_NOMEM;
        v->strs = p;
    }
    v->strs[v->nr++] = text;
    return PBR_OK;
}

static int list_push_num(const struct pbr_env *env, struct pbr_param *v, int64_t num)
{
    if ((v->nr & (v->nr - 1)) == 0) {
        int64_t *p = pbr_realloc(env, v->nums, (v->nr ? v->nr * 2 : 1) * sizeof(*p));
        if (!p)
            return PBR_E_NOMEM;
        v->nums = p;
    }
    v->nums[v->nr++] = num;
    return PBR_OK;
}

static void take_str(struct pbr_params *p, const struct pbr_param_def *d, struct pbr_param *v,
                     struct pbr_span text, bool json, struct errors *e)
{
    char room[256];
    const bool list = d->type == PBR_PARAM_STR_LIST;
    const char *reason = check_str(d, text, room, sizeof(room));

    if (reason)
        refuse_element(e, d->name, list && json, v->nr, reason);
    if (!list)
        v->str = text;
    else if (e->rc == PBR_OK)
        e->rc = list_push_str(p->env, v, text);
}

static void take_int(struct pbr_params *p, const struct pbr_param_def *d, struct pbr_param *v,
                     int64_t num, bool json, struct errors *e)
{
    char room[256];
    const bool list = d->type == PBR_PARAM_INT_LIST;
    const char *reason = check_int(d, num, room, sizeof(room));

    if (reason)
        refuse_element(e, d->name, list && json, v->nr, reason);
    if (!list)
        v->num = num;
    else if (e->rc == PBR_OK)
        e->rc = list_push_num(p->env, v, num);
}

static void take_text(struct pbr_params *p, const struct pbr_param_def *d, struct pbr_param *v,
                      struct pbr_span text, struct errors *e)
{
    int64_t num = 0;
    const char *reason = NULL;

    switch (d->type) {
    case PBR_PARAM_STR:
    case PBR_PARAM_STR_LIST:
        take_str(p, d, v, text, false, e);
        return;
    case PBR_PARAM_BOOL:
        if (!pbr_bool_parse(text, &v->flag))
            reason = "Unable to parse boolean option.";
        break;
    case PBR_PARAM_INT:
    case PBR_PARAM_INT_LIST:
        reason = parse_int(text, &num);
        if (!reason)
            take_int(p, d, v, num, false, e);
        break;
    }
    if (reason)
        refuse(e, d->name, reason);
}

static void take_json(struct pbr_params *p, const struct pbr_param_def *d, struct pbr_param *v,
                      const json_t *in, bool element, struct errors *e)
{
    const char *reason = NULL;

    if (d->type == PBR_PARAM_STR || d->type == PBR_PARAM_STR_LIST) {
        if (json_is_string(in))
            take_str(p, d, v, pbr_span(json_string_value(in), json_string_length(in)), true, e);
        else
            reason = "Expected string value.";
    } else if (d->type == PBR_PARAM_BOOL) {
        if (json_is_boolean(in))
            v->flag = json_is_true(in);
        else
            reason = "Expected boolean value.";
    } else if (json_is_integer(in)) {
        take_int(p, d, v, json_integer_value(in), true, e);
    } else {
        reason = "Expected integer value.";
    }
    if (!reason)
        return;
    refuse_element(e, d->name, element, v->nr, reason);
    if (element && e->rc == PBR_OK) /* keeps the index of later refusals right */
        e->rc = d->type == PBR_PARAM_STR_LIST ? list_push_str(p->env, v, pbr_span(NULL, 0))
                                              : list_push_num(p->env, v, 0);
}

/* ---- whole inputs ---- */

static size_t find_def(const struct pbr_schema *s, struct pbr_span name)
{
    size_t i = 0;
    while (i < s->nr && !pbr_span_eq_str(name, s->defs[i].name))
        i++;
    return i;
}

static bool is_list(const struct pbr_param_def *d)
{
    return d->type == PBR_PARAM_STR_LIST || d->type == PBR_PARAM_INT_LIST;
}

static void take_form(struct pbr_params *p, const struct pbr_form *f, bool is_query,
                      struct errors *e)
{
    for (size_t i = 0; i < f->nr; i++) {
        const struct pbr_form_pair *pair = &f->pairs[i];
        const size_t at = find_def(p->schema, pair->key);
        if (at == p->schema->nr) {
            char name[101];
            if (is_query && pbr_span_eq_str(pair->key, "_dc")) /* BKP-065 */
                continue;
            (void)snprintf(name, sizeof(name), "%.*s",
                           (int)(pair->key.len < 100 ? pair->key.len : 100),
                           (const char *)pair->key.ptr);
            refuse(e, name, "schema does not allow additional properties.");
            continue;
        }
        const struct pbr_param_def *d = &p->schema->defs[at];
        struct pbr_param *v = &p->val[at];
        if (v->set && !is_list(d)) {
            refuse(e, d->name, "duplicate parameter.");
            continue;
        }
        v->set = true;
        take_text(p, d, v, pair->value, e);
    }
}

static void find_missing(const struct pbr_params *p, const char *reason, struct errors *e)
{
    for (size_t i = 0; i < p->schema->nr; i++)
        if (!p->val[i].set && !p->schema->defs[i].optional)
            refuse(e, p->schema->defs[i].name, reason);
}

int pbr_params_from_form(struct pbr_params *p, struct pbr_span query, struct pbr_span body,
                         struct pbr_buf *text)
{
    struct errors e = { .text = text };

    pbr_buf_clear(text);
    int rc = pbr_form_parse(&p->form[0], p->env, query);
    if (rc == PBR_OK)
        rc = pbr_form_parse(&p->form[1], p->env, body);
    if (rc < 0)
        return rc;
    take_form(p, &p->form[0], true, &e);
    take_form(p, &p->form[1], false, &e);
    find_missing(p, "parameter is missing and it is not optional.", &e);
    return verdict(&e);
}

static const char *not_a_list(const json_t *in)
{
    return json_is_object(in) ? "Expected array - got object."
                              : "Expected array - got scalar value.";
}

static void take_member(struct pbr_params *p, const char *key, const json_t *in, struct errors *e)
{
    const size_t at = find_def(p->schema, pbr_span_str(key));
    if (at == p->schema->nr) {
        char name[101];
        (void)snprintf(name, sizeof(name), "%s", key);
        refuse(e, name, "schema does not allow additional properties");
        return;
    }
    const struct pbr_param_def *d = &p->schema->defs[at];
    struct pbr_param *v = &p->val[at];
    v->set = true;
    if (!is_list(d)) {
        take_json(p, d, v, in, false, e);
        return;
    }
    if (!json_is_array(in)) {
        refuse(e, d->name, not_a_list(in));
        return;
    }
    for (size_t i = 0; i < json_array_size(in); i++)
        take_json(p, d, v, json_array_get(in, i), true, e);
}

/* The parser's own words; for input that ends too early those of the original (BKP-064). */
static int not_json(struct pbr_span body, const struct pbr_diag *diag, struct pbr_buf *text)
{
    size_t line = 1, column = 0;

    for (size_t i = 0; i < body.len; i++) {
        column++;
        if (body.ptr[i] == '\n') {
            line++;
            column = 0;
        }
    }
    const bool early = diag->code == PBR_E_TRUNCATED || strstr(diag->text, "premature") ||
                       strstr(diag->text, "near end of file");
    const int rc = early ? pbr_buf_printf(text, "EOF while parsing a value at line %zu column %zu",
                                          line, column)
                         : pbr_buf_printf(text, "%s", diag->text);
    return rc < 0 ? rc : PBR_E_ARG;
}

int pbr_params_from_json(struct pbr_params *p, struct pbr_span body, struct pbr_buf *text)
{
    struct errors e = { .text = text };
    struct pbr_diag diag = { 0 };

    pbr_buf_clear(text);
    if (body.len == 0)
        body = pbr_span_str("{}");
    int rc = pbr_json_parse(body, &p->json, &diag);
    if (rc == PBR_E_NOMEM)
        return rc;
    if (rc < 0)
        return not_json(body, &diag, text);
    if (!json_is_object(p->json)) {
        rc = pbr_buf_printf(text, "Expected object - got %s.",
                            json_is_array(p->json) ? "array" : "scalar value");
        return rc < 0 ? rc : PBR_E_ARG;
    }

    void *it;
    for (it = json_object_iter(p->json); it; it = json_object_iter_next(p->json, it))
        take_member(p, json_object_iter_key(it), json_object_iter_value(it), &e);
    find_missing(p, "property is missing and it is not optional", &e);
    return verdict(&e);
}

/* ---- access ---- */

const struct pbr_param *pbr_params_get(const struct pbr_params *p, const char *name)
{
    const size_t at = find_def(p->schema, pbr_span_str(name));
    return at < p->schema->nr ? &p->val[at] : NULL;
}

bool pbr_params_flag(const struct pbr_params *p, const char *name, bool standard)
{
    const struct pbr_param *v = pbr_params_get(p, name);
    return v && v->set ? v->flag : standard;
}

int64_t pbr_params_int(const struct pbr_params *p, const char *name, int64_t standard)
{
    const struct pbr_param *v = pbr_params_get(p, name);
    return v && v->set ? v->num : standard;
}

struct pbr_span pbr_params_str(const struct pbr_params *p, const char *name)
{
    const struct pbr_param *v = pbr_params_get(p, name);
    return v && v->set ? v->str : pbr_span(NULL, 0);
}

static json_t *span_to_json(struct pbr_span s)
{
    json_t *j = json_stringn((const char *)s.ptr, s.len);
    return j ? j : json_string("(not UTF-8)");
}

static json_t *param_to_json(const struct pbr_param_def *d, const struct pbr_param *v)
{
    if (d->type == PBR_PARAM_STR)
        return span_to_json(v->str);
    if (d->type == PBR_PARAM_INT)
        return json_integer(v->num);
    if (d->type == PBR_PARAM_BOOL)
        return json_boolean(v->flag);
    json_t *list = json_array();
    for (size_t i = 0; list && i < v->nr; i++)
        (void)json_array_append_new(list, d->type == PBR_PARAM_STR_LIST ? span_to_json(v->strs[i])
                                                                        : json_integer(v->nums[i]));
    return list;
}

json_t *pbr_params_to_json(const struct pbr_params *p)
{
    json_t *out = json_object();
    for (size_t i = 0; out && i < p->schema->nr; i++)
        if (p->val[i].set)
            (void)json_object_set_new(out, p->schema->defs[i].name,
                                      param_to_json(&p->schema->defs[i], &p->val[i]));
    return out;
}

int pbr_body_form(const char *content_type, enum pbr_body_form *ret, struct pbr_diag *diag)
{
    if (!content_type) {
        *ret = PBR_BODY_FORM;
        return PBR_OK;
    }
    struct pbr_span type = pbr_span(content_type, strcspn(content_type, ";"));
    while (type.len > 0 && type.ptr[type.len - 1] == ' ')
        type.len--;
    if (pbr_span_eq_str(type, "application/json")) {
        *ret = PBR_BODY_JSON;
        return PBR_OK;
    }
    if (pbr_span_eq_str(type, "application/x-www-form-urlencoded")) {
        *ret = PBR_BODY_FORM;
        return PBR_OK;
    }
    return pbr_fail_at(diag, PBR_E_ARG, "BKP-063", "unsupported content type Ok(\"%s\")",
                       content_type);
}
