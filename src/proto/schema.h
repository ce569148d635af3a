/* SPDX-License-Identifier: MIT */
/* Parameters of a call: the table that describes them, and the check of a query, form or JSON body
 * against it, with the texts that the original answers.
 *
 * Spec: BKP-015, BKP-016, BKP-031, BKP-064, BKP-065, API-006, API-144. Thread: plain values. */
#ifndef PBR_PROTO_SCHEMA_H
#define PBR_PROTO_SCHEMA_H

#include <jansson.h>

#include "proto/form.h"

enum pbr_param_type {
    PBR_PARAM_STR,
    PBR_PARAM_INT,
    PBR_PARAM_BOOL,
    PBR_PARAM_STR_LIST,
    PBR_PARAM_INT_LIST
};

struct pbr_param_def {
    const char *name;
    enum pbr_param_type type;
    bool optional;
    bool has_max;                        /* INT: `max` counts */
    int64_t min, max;                    /* INT: bounds of the value, of each element in a list */
    size_t min_len, max_len;             /* STR: bounds of the length; max_len 0 = none */
    bool (*match)(struct pbr_span text); /* STR: the pattern; NULL = any text */
    const char *const *words;            /* STR: the enumeration, ended by NULL; NULL = none */
};

enum { PBR_PARAMS_MAX = 16 };

/* Names in ascending order, as the original keeps them: the order in which missing ones are
 * reported. */
struct pbr_schema {
    const struct pbr_param_def *defs;
    size_t nr; /* <= PBR_PARAMS_MAX */
};

struct pbr_param {
    bool set;
    bool flag;             /* BOOL */
    int64_t num;           /* INT */
    struct pbr_span str;   /* STR; borrowed from the params */
    struct pbr_span *strs; /* lists: nr elements */
    int64_t *nums;
    size_t nr;
};

/* Accepted parameters. Release it in any case; what its members point to lives as long. */
struct pbr_params {
    const struct pbr_env *env;
    const struct pbr_schema *schema;
    struct pbr_param val[PBR_PARAMS_MAX];
    struct pbr_form form[2];
    json_t *json;
};

void pbr_params_init(struct pbr_params *p, const struct pbr_env *env,
                     const struct pbr_schema *schema);
void pbr_params_release(struct pbr_params *p);

/* Query and form body together (each may be empty). PBR_E_ARG: refused, `text` then holds the whole
 * message. */
PBR_MUST_USE int pbr_params_from_form(struct pbr_params *p, struct pbr_span query,
                                      struct pbr_span body, struct pbr_buf *text);
/* A JSON body; an empty one counts as {}. PBR_E_ARG: refused, `text` then holds the whole message.
 */
PBR_MUST_USE int pbr_params_from_json(struct pbr_params *p, struct pbr_span body,
                                      struct pbr_buf *text);

/* The value by name; never NULL for a name of the schema (its `set` may be false). */
const struct pbr_param *pbr_params_get(const struct pbr_params *p, const char *name);
bool pbr_params_flag(const struct pbr_params *p, const char *name, bool standard);
int64_t pbr_params_int(const struct pbr_params *p, const char *name, int64_t standard);
/* Empty span if absent. */
struct pbr_span pbr_params_str(const struct pbr_params *p, const char *name);
/* The parameters as a JSON object, for journals; NULL if memory is short. The caller owns it. */
json_t *pbr_params_to_json(const struct pbr_params *p);

/* "1 on yes true" / "0 off no false", any case (BKP-016). */
PBR_MUST_USE bool pbr_bool_parse(struct pbr_span text, bool *ret);

/* How parameters arrive, by the content type of a plain call (BKP-063). */
enum pbr_body_form { PBR_BODY_FORM, PBR_BODY_JSON };
/* PBR_E_ARG with the text of BKP-063 for another type. NULL: no header. */
PBR_MUST_USE int pbr_body_form(const char *content_type, enum pbr_body_form *ret,
                               struct pbr_diag *diag);

#endif
