/* SPDX-License-Identifier: MIT */
/* Running another program; see spawn.h. */
#include "cli/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/fd.h"

enum { WORDS_MAX = 64 };

extern char **environ;

/* Splits in place inside `text`; returns the number of words or -1. */
static int split_words(char *text, char *words[WORDS_MAX])
{
    int n = 0;
    char *out = text;
    const char *in = text;
    while (*in) {
        while (*in == ' ' || *in == '\t' || *in == '\n')
            in++;
        if (!*in)
            break;
        if (n == WORDS_MAX - 1)
            return -1;
        words[n++] = out;
        char quote = 0;
        for (; *in && (quote || (*in != ' ' && *in != '\t' && *in != '\n')); in++) {
            if (!quote && (*in == '\'' || *in == '"'))
                quote = *in;
            else if (quote && *in == quote)
                quote = 0;
            else if (*in == '\\' && quote != '\'' && in[1])
                *out++ = *++in;
            else
                *out++ = *in;
        }
        if (quote)
            return -1;
        const bool more = *in != 0;
        in += more;
        *out++ = 0; /* never ahead of in: a word is followed by at least its separator */
    }
    words[n] = NULL;
    return n;
}

static int run_words(const struct pbr_env *env, char *const *words, size_t max, struct pbr_buf *ret, struct pbr_diag *diag)
{
    struct pbr_buf out = { 0 };
    int ends[2];
    pid_t pid;
    int status = 0;
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return pbr_fail_os(diag, errno, "pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    const int failed = posix_spawnp(&pid, words[0], &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    pbr_close(&ends[1]);
    int rc = failed ? pbr_fail_os(diag, failed, "cannot run %s", words[0]) : pbr_load_fd(env, ends[0], max, "its output", &out, diag);
    pbr_close(&ends[0]);
    if (failed)
        return rc;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (rc == PBR_OK && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        rc = pbr_fail_at(diag, PBR_E_IO, NULL, "%s failed", words[0]);
    if (rc == PBR_OK)
        *ret = out;
    if (rc < 0 && out.ptr) {
        pbr_wipe(out.ptr, out.cap); /* may be a secret */
        pbr_buf_release(&out);
    }
    return rc;
}

int pbr_spawn_output(const struct pbr_env *env, const char *command, size_t max, struct pbr_buf *ret,
                     struct pbr_diag *diag)
{
    char *words[WORDS_MAX];
    char *text = pbr_alloc(env, strlen(command) + 2, 1);
    if (!text)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory for a command");
    memcpy(text, command, strlen(command));
    int rc = split_words(text, words) > 0 ? PBR_OK : pbr_fail_at(diag, PBR_E_ARG, "API-040", "unusable command line");
    if (rc == PBR_OK)
        rc = run_words(env, words, max, ret, diag);
    pbr_free(env, text);
    return rc;
}
