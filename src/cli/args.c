/* SPDX-License-Identifier: MIT */
/* Parsing of command lines; see args.h. */
#include "cli/args.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct value {
    const char *name;
    const struct pbr_opt *opt; /* NULL for a positional */
    bool list;                 /* may be given more than once */
    const char **items;        /* borrowed texts */
    size_t nr;
    bool flag;
    uint64_t number;
};

struct pbr_args {
    const struct pbr_env *env;
    struct value *values;
    size_t nr;
    const char **texts; /* room for all items of all values */
};

/* ---- commands ---- */

static const struct {
    const char *alias, *path;
} aliases[] = {
    { "files", "snapshot files" },
    { "forget", "snapshot forget" },
    { "snapshots", "snapshot list" },
};

/* How many of the words of argv match the words of `path`, each as a prefix; -1 if one does not. `exact` counts whole words. */
static int match_path(const char *path, int argc, char **argv, int *exact)
{
    int n = 0;
    *exact = 0;
    while (*path) {
        const size_t len = strcspn(path, " ");
        if (n >= argc || argv[n][0] == '-' || argv[n][0] == 0 || strlen(argv[n]) > len ||
            strncmp(argv[n], path, strlen(argv[n])) != 0)
            return -1;
        *exact += strlen(argv[n]) == len;
        n++;
        path += len;
        path += *path == ' ';
    }
    return n;
}

const char *pbr_command_group(const char *word)
{
    static char group[32]; /* first word of the commands' paths */
    bool found = false;
    for (const struct pbr_command *c = pbr_commands; c->path && word[0]; c++) {
        const size_t len = strcspn(c->path, " ");
        const bool same = found && strlen(group) == len && strncmp(group, c->path, len) == 0;
        if (!c->path[len] || len >= sizeof(group) || strncmp(c->path, word, strlen(word)) != 0 || same)
            continue;
        if (found)
            return NULL;
        found = true;
        memcpy(group, c->path, len);
        group[len] = 0;
    }
    return found ? group : NULL;
}

static const struct pbr_command *by_path(const char *path)
{
    for (const struct pbr_command *c = pbr_commands; c->path; c++)
        if (strcmp(c->path, path) == 0)
            return c;
    return NULL;
}

int pbr_command_find(int argc, char **argv, const struct pbr_command **ret, int *ret_used, struct pbr_diag *diag)
{
    const struct pbr_command *best = NULL;
    int best_exact = -1, best_used = 0;
    bool ambiguous = false;
    if (argc == 0)
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-007", "no command specified (see pbsref help)");
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (strcmp(argv[0], aliases[i].alias) == 0 && (best = by_path(aliases[i].path)) != NULL) {
            *ret = best;
            *ret_used = 1;
            return PBR_OK;
        }
    }
    for (const struct pbr_command *c = pbr_commands; c->path; c++) {
        int exact;
        const int used = match_path(c->path, argc, argv, &exact);
        if (used < 0 || exact < best_exact)
            continue;
        ambiguous = exact == best_exact && best;
        best = c;
        best_exact = exact;
        best_used = used;
    }
    if (!best)
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-007", "no such command '%s%s%s' (see pbsref help)", argv[0],
                           argc > 1 && argv[1][0] != '-' ? " " : "", argc > 1 && argv[1][0] != '-' ? argv[1] : "");
    if (ambiguous)
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-006", "'%s' may be more than one command (see pbsref help)", argv[0]);
    *ret = best;
    *ret_used = best_used;
    return PBR_OK;
}

/* ---- values ---- */

static struct value *find_value(const struct pbr_args *a, const char *name)
{
    for (size_t i = 0; i < a->nr; i++)
        if (strcmp(a->values[i].name, name) == 0)
            return &a->values[i];
    return NULL;
}

static struct value *need(const struct pbr_args *a, const char *name)
{
    struct value *v = find_value(a, name);
    if (!v)
        abort(); /* a command asks for an option that its table does not have */
    return v;
}

bool pbr_args_knows(const struct pbr_args *args, const char *name)
{
    return find_value(args, name) != NULL;
}

bool pbr_args_has(const struct pbr_args *args, const char *name)
{
    return need(args, name)->nr > 0;
}

bool pbr_args_bool(const struct pbr_args *args, const char *name)
{
    return need(args, name)->flag;
}

uint64_t pbr_args_flags(const struct pbr_args *args, const struct pbr_args_flag *map)
{
    uint64_t flags = 0;
    for (; map->option; map++)
        flags |= pbr_args_bool(args, map->option) ? map->flag : 0;
    return flags;
}

const char *pbr_args_text(const struct pbr_args *args, const char *name)
{
    const struct value *v = need(args, name);
    return v->nr ? v->items[0] : NULL;
}

uint64_t pbr_args_number(const struct pbr_args *args, const char *name, uint64_t standard)
{
    const struct value *v = need(args, name);
    return v->nr ? v->number : standard;
}

size_t pbr_args_list(const struct pbr_args *args, const char *name, const char *const **ret)
{
    const struct value *v = need(args, name);
    *ret = v->items;
    return v->nr;
}

/* ---- parsing ---- */

static size_t count_values(const struct pbr_command *c)
{
    size_t n = 0;
    for (const struct pbr_pos *p = c->positionals; p && p->name; p++)
        n++;
    for (const struct pbr_opt *const *group = c->opts; group && *group; group++)
        for (const struct pbr_opt *o = *group; o->name; o++)
            n++;
    return n;
}

static int make_values(const struct pbr_env *env, const struct pbr_command *c, int argc, struct pbr_args **ret)
{
    const size_t n = count_values(c);
    const size_t room = (size_t)argc + 1;
    struct pbr_args *a = pbr_alloc(env, 1, sizeof(*a));
    if (a) {
        a->env = env;
        a->values = pbr_alloc(env, n + 1, sizeof(*a->values));
        a->texts = pbr_alloc(env, n + 1, room * sizeof(*a->texts));
    }
    if (!a || !a->values || !a->texts) {
        pbr_args_free(a);
        return PBR_E_NOMEM;
    }
    for (const struct pbr_pos *p = c->positionals; p && p->name; p++) {
        a->values[a->nr].list = p->list;
        a->values[a->nr++].name = p->name;
    }
    for (const struct pbr_opt *const *group = c->opts; group && *group; group++)
        for (const struct pbr_opt *o = *group; o->name; o++) {
            a->values[a->nr].opt = o;
            a->values[a->nr].list = o->type == PBR_OPT_LIST;
            a->values[a->nr++].name = o->name;
        }
    for (size_t i = 0; i < a->nr; i++)
        a->values[i].items = a->texts + i * room;
    *ret = a;
    return PBR_OK;
}

void pbr_args_free(struct pbr_args *args)
{
    if (!args)
        return;
    pbr_free(args->env, args->values);
    pbr_free(args->env, args->texts);
    pbr_free(args->env, args);
}

static bool parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = { "1", "on", "yes", "true" };
    static const char *const no[] = { "0", "off", "no", "false" };
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *ret = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static int refuse(struct pbr_diag *diag, const char *name, const char *reason)
{
    return pbr_fail_at(diag, PBR_E_ARG, NULL, "parameter verification failed - '%s': %s", name, reason);
}

static int check_choice(const struct pbr_opt *o, const char *text, struct pbr_diag *diag)
{
    for (const char *const *c = o->choices; *c; c++)
        if (strcmp(*c, text) == 0)
            return PBR_OK;
    return pbr_fail_at(diag, PBR_E_ARG, NULL, "parameter verification failed - '%s': value '%s' is not defined in the enumeration.",
                       o->name, text);
}

static int check_number(struct value *v, const char *text, struct pbr_diag *diag)
{
    if (!pbr_parse_u64(pbr_span_str(text), 0, UINT64_MAX, &v->number))
        return refuse(diag, v->name, "invalid digit found in string");
    if (v->number < v->opt->min)
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "parameter verification failed - '%s': value must have a minimum value of %" PRIu64
                           " (got %" PRIu64 ")", v->name, v->opt->min, v->number);
    if (v->opt->max && v->number > v->opt->max)
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "parameter verification failed - '%s': value must have a maximum value of %" PRIu64
                           " (got %" PRIu64 ")", v->name, v->opt->max, v->number);
    return PBR_OK;
}

static int set_value(struct value *v, const char *text, struct pbr_diag *diag)
{
    int rc = PBR_OK;
    if (v->nr > 0 && !v->list)
        return refuse(diag, v->name, "duplicate parameter.");
    if (v->opt && v->opt->type == PBR_OPT_CHOICE)
        rc = check_choice(v->opt, text, diag);
    if (v->opt && v->opt->type == PBR_OPT_NUMBER)
        rc = check_number(v, text, diag);
    if (v->opt && v->opt->type == PBR_OPT_BOOL && !parse_bool(text, &v->flag))
        rc = refuse(diag, v->name, "Unable to parse boolean option.");
    if (rc == PBR_OK)
        v->items[v->nr++] = text;
    return rc;
}

/* One option at argv[*i]; moves *i past it. */
static int take_option(struct pbr_args *a, int argc, char **argv, int *i, struct pbr_diag *diag)
{
    const char *text = argv[*i] + (argv[*i][1] == '-' ? 2 : 1);
    const char *equals = strchr(text, '=');
    const size_t len = equals ? (size_t)(equals - text) : strlen(text);
    struct value *v = NULL;
    bool flag;
    for (size_t k = 0; k < a->nr && !v; k++)
        if (strlen(a->values[k].name) == len && strncmp(a->values[k].name, text, len) == 0)
            v = &a->values[k];
    (*i)++;
    if (!v)
        return pbr_fail_at(diag, PBR_E_ARG, NULL,
                           "parameter verification failed - '%.*s': schema does not allow additional properties.",
                           (int)len, text);
    if (equals)
        return set_value(v, equals + 1, diag);
    if (v->opt && v->opt->type == PBR_OPT_BOOL) /* alone = true; the next word may be its value (CLI-002) */
        return set_value(v, *i < argc && parse_bool(argv[*i], &flag) ? argv[(*i)++] : "true", diag);
    if (*i >= argc || (argv[*i][0] == '-' && argv[*i][1] != 0))
        return refuse(diag, v->name, "missing parameter value.");
    return set_value(v, argv[(*i)++], diag);
}

/* Words without a dash, in order, into the positionals that were not given by name (CLI-005). */
static int take_positional(const struct pbr_command *c, struct pbr_args *a, const char *text, struct pbr_diag *diag)
{
    for (const struct pbr_pos *p = c->positionals; p && p->name; p++) {
        struct value *v = need(a, p->name);
        if (v->nr == 0 || p->list)
            return set_value(v, text, diag);
    }
    return pbr_fail_at(diag, PBR_E_ARG, "CLI-005", "got additional arguments: [\"%s\"]", text);
}

static int check_missing(const struct pbr_command *c, const struct pbr_args *a, struct pbr_diag *diag)
{
    for (const struct pbr_pos *p = c->positionals; p && p->name; p++)
        if (!p->optional && need(a, p->name)->nr == 0)
            return pbr_fail_at(diag, PBR_E_ARG, "CLI-005", "missing argument: %s (see pbsref help %s)", p->name, c->path);
    return PBR_OK;
}

int pbr_args_parse(const struct pbr_env *env, const struct pbr_command *command, int argc, char **argv,
                   struct pbr_args **ret, struct pbr_diag *diag)
{
    struct pbr_args *a;
    bool only_words = false;
    int rc = make_values(env, command, argc, &a);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for the command line");
    for (int i = 0; i < argc && rc == PBR_OK;) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
            i++;
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] != 0) {
            rc = take_option(a, argc, argv, &i, diag);
        } else {
            rc = take_positional(command, a, argv[i++], diag);
        }
    }
    if (rc == PBR_OK)
        rc = check_missing(command, a, diag);
    if (rc < 0)
        pbr_args_free(a);
    else
        *ret = a;
    return rc;
}
