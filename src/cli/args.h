/* SPDX-License-Identifier: MIT */
/* Command lines: commands, options and positional arguments as tables; parsing by the rules of the original's command line
 * [CLI-001 .. CLI-007]. Help, man page and shell completion are made from the same tables (cli/help.c).
 * Thread: main thread only. */
#ifndef PBR_CLI_ARGS_H
#define PBR_CLI_ARGS_H

#include <stdio.h>

#include "base/env.h"

enum pbr_opt_type {
    PBR_OPT_BOOL,
    PBR_OPT_TEXT,
    PBR_OPT_LIST,   /* may be repeated */
    PBR_OPT_NUMBER, /* decimal, min..max */
    PBR_OPT_CHOICE, /* one of choices */
};

struct pbr_opt {
    const char *name;
    enum pbr_opt_type type;
    const char *value;          /* what stands for the value in help: "PATH" */
    const char *help;
    const char *const *choices; /* NULL-terminated, for CHOICE */
    uint64_t min, max;          /* for NUMBER; max 0 = no limit */
    bool own;                   /* the original has no such option: marked in help */
};

struct pbr_pos {
    const char *name;
    const char *help;
    bool optional;
    bool list; /* last one only: takes the rest */
};

struct pbr_cli;
struct pbr_args;

struct pbr_command {
    const char *path;                      /* "snapshot list" */
    const char *summary;                   /* one line */
    const char *details;                   /* more paragraphs for --help and man page, or NULL */
    const struct pbr_pos *positionals;     /* ends with name NULL; may be NULL */
    const struct pbr_opt *const *opts;     /* groups of tables, NULL-terminated; each table ends with name NULL */
    int (*run)(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag);
    /* Instead of run: gets the words behind the name unparsed; positionals and opts then are for help only. */
    int (*hand_over)(struct pbr_cli *cli, int argc, char **argv, struct pbr_diag *diag);
    bool own;                              /* not a command of the original client */
};

/* Ends with path NULL. */
extern const struct pbr_command pbr_commands[];

/* Finds the command at the front of argv (sub-commands may be shortened to unique prefixes, CLI-006; aliases CLI-008).
 * *ret_used words belong to it. ARG if there is none. */
PBR_MUST_USE int pbr_command_find(int argc, char **argv, const struct pbr_command **ret, int *ret_used,
                                  struct pbr_diag *diag);

/* The group of commands that `word` names, such as "pxar", or shortens; NULL if there is none or more than one. */
const char *pbr_command_group(const char *word);

/* Parses what follows the command's name. *ret is freed by pbr_args_free. ARG with the texts of CLI-002 .. CLI-005. */
PBR_MUST_USE int pbr_args_parse(const struct pbr_env *env, const struct pbr_command *command, int argc, char **argv,
                                struct pbr_args **ret, struct pbr_diag *diag);
void pbr_args_free(struct pbr_args *args);

/* Whether the command has an option or positional of that name. */
bool pbr_args_knows(const struct pbr_args *args, const char *name);
/* By option or positional name, which must be in the command's tables. */
bool pbr_args_has(const struct pbr_args *args, const char *name);
bool pbr_args_bool(const struct pbr_args *args, const char *name);               /* absent = false */
/* The flags of those switches of `map` that were given; a NULL option ends it. */
struct pbr_args_flag {
    const char *option;
    uint64_t flag;
};
uint64_t pbr_args_flags(const struct pbr_args *args, const struct pbr_args_flag *map);
const char *pbr_args_text(const struct pbr_args *args, const char *name);        /* absent = NULL */
uint64_t pbr_args_number(const struct pbr_args *args, const char *name, uint64_t standard);
size_t pbr_args_list(const struct pbr_args *args, const char *name, const char *const **ret);

/* Help of one command, or of all with `command` NULL, to stdout. */
void pbr_help_print(const struct pbr_command *command, bool verbose);
/* The commands of a group, one a line. */
void pbr_help_group(FILE *out, const char *group);
/* roff for man(1) and bash completion, to stdout. */
void pbr_help_man(void);
void pbr_help_bash(void);

#endif
