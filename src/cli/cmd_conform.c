/* SPDX-License-Identifier: MIT */
/* pbsref conform: finds the conformance suite, installed beside the program or in the source tree, and becomes it. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define SUITE "tests/conformance/conform.py"

const struct pbr_opt pbr_opts_conform[] = {
    { .name = "adapter", .type = PBR_OPT_LIST, .value = "NAME", .help = "name or path of an adapter; may be repeated (default pbsref)" },
    { .name = "report", .type = PBR_OPT_TEXT, .value = "DIR", .help = "write results.jsonl, junit.xml, matrix.md, report.html and logs" },
    { .name = "strict", .type = PBR_OPT_BOOL, .help = "failures of level should count too" },
    { .name = "baseline", .type = PBR_OPT_TEXT, .value = "FILE", .help = "results of an earlier run: only new failures count" },
    { .name = "keep", .type = PBR_OPT_BOOL, .help = "keep whole working directories with the report" },
    { .name = "jobs", .type = PBR_OPT_TEXT, .value = "N", .help = "cases at a time (-n N; default: processors)" },
    { .name = "verbose", .type = PBR_OPT_BOOL, .help = "a line per case, all failures (-v)" },
    { 0 },
};

static bool holds_suite(const char *dir, char *ret, size_t cap)
{
    const int n = snprintf(ret, cap, "%s/" SUITE, dir);
    return n > 0 && (size_t)n < cap && access(ret, R_OK) == 0;
}

/* `dir` or one of the directories above it; `dir` is shortened in place. */
static bool above(char *dir, char *ret, size_t cap)
{
    for (;;) {
        if (holds_suite(dir, ret, cap))
            return true;
        char *slash = strrchr(dir, '/');
        if (!slash)
            return false;
        *slash = 0;
    }
}

/* $PBSREF_HARNESS, else ../share/pbsref of the program, else the source tree around the program or the current directory. */
static bool find_suite(const char *exe, char *ret, size_t cap)
{
    char dir[PATH_MAX + 32];
    const char *set = getenv("PBSREF_HARNESS");
    if (set && set[0])
        return holds_suite(set, ret, cap);
    (void)snprintf(dir, sizeof(dir), "%s", exe);
    char *slash = strrchr(dir, '/');
    if (slash)
        (void)snprintf(slash, sizeof(dir) - (size_t)(slash - dir), "/../share/pbsref");
    if (holds_suite(dir, ret, cap))
        return true;
    if (slash)
        *slash = 0;
    if (above(dir, ret, cap))
        return true;
    return getcwd(dir, sizeof(dir)) && above(dir, ret, cap);
}

/* `words` has room for all of argv, two more and the end. Returns only if that fails. */
static int become(char **words, char *program, char *suite, int argc, char **argv, struct pbr_diag *diag)
{
    words[0] = program;
    words[1] = suite;
    memcpy(words + 2, argv, (size_t)argc * sizeof(*words));
    (void)signal(SIGPIPE, SIG_DFL);
    (void)execv(program, words);
    return pbr_fail_os(diag, errno, "cannot run %s", program);
}

int pbr_cmd_conform(struct pbr_cli *cli, int argc, char **argv, struct pbr_diag *diag)
{
    char exe[PATH_MAX], suite[PATH_MAX + sizeof(SUITE)];
    const char *python = getenv("PBSREF_PYTHON");
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[n > 0 ? n : 0] = 0;
    if (!find_suite(exe, suite, sizeof(suite)))
        return pbr_fail_at(diag, PBR_E_NOENT, NULL, "the conformance suite is neither installed with the program nor in a source tree "
                                                    "around it; PBSREF_HARNESS can name the top of one");
    (void)setenv("CONFORM_PROG", "pbsref conform", 1);
    (void)setenv("PBSREF", exe, 0);
    char **words = pbr_alloc(&cli->env, (size_t)argc + 3, sizeof(*words));
    char *first = pbr_strdup(&cli->env, python && python[0] ? python : "/usr/bin/python3");
    const int rc = words && first ? become(words, first, suite, argc, argv, diag)
                                  : pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a command line");
    pbr_free(&cli->env, words);
    pbr_free(&cli->env, first);
    return rc;
}
