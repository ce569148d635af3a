/* SPDX-License-Identifier: MIT */
/* Secrets from the environment and from people; see secret.h. */
#include "cli/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/spawn.h"
#include "format/keyfile.h"
#include "sys/fd.h"

/* ---- environment ---- */

static struct pbr_span first_line(struct pbr_span in)
{
    const uint8_t *end = in.len ? memchr(in.ptr, '\n', in.len) : NULL;
    if (end)
        in.len = (size_t)(end - in.ptr);
    if (in.len && in.ptr[in.len - 1] == '\r')
        in.len--;
    return in;
}

static int keep(struct pbr_cli *cli, struct pbr_span text, struct pbr_secret *ret, struct pbr_diag *diag)
{
    const int rc = pbr_secret_set(ret, &cli->env, text);
    return rc < 0 ? pbr_fail_at(diag, rc, NULL, "no memory for a secret") : PBR_OK;
}

/* Takes the content over. */
static int keep_content(struct pbr_cli *cli, struct pbr_buf *content, bool whole, struct pbr_secret *ret,
                        struct pbr_diag *diag)
{
    const struct pbr_span text = pbr_buf_span(content);
    const int rc = keep(cli, whole ? text : first_line(text), ret, diag);
    pbr_wipe(content->ptr, content->cap);
    pbr_buf_release(content);
    return rc;
}

static int content_of_fd(struct pbr_cli *cli, const char *text, struct pbr_buf *ret, struct pbr_diag *diag)
{
    uint64_t number;
    if (!pbr_parse_u64(pbr_span_str(text), 0, 1 << 20, &number))
        return pbr_fail_at(diag, PBR_E_ARG, "API-040", "'%s' is not a file descriptor number", text);
    int fd = (int)number;
    const int rc = pbr_load_fd(&cli->env, fd, PBR_SECRET_MAX, "the descriptor", ret, diag);
    pbr_close(&fd);
    return rc;
}

static int content_of_file(struct pbr_cli *cli, const char *path, struct pbr_buf *ret, struct pbr_diag *diag)
{
    return pbr_load_file(&cli->env, AT_FDCWD, path, PBR_SECRET_MAX, ret, diag);
}

static int content_of_command(struct pbr_cli *cli, const char *command, struct pbr_buf *ret, struct pbr_diag *diag)
{
    return pbr_spawn_output(&cli->env, command, PBR_SECRET_MAX, ret, diag);
}

static int from_credential(struct pbr_cli *cli, const char *credential, struct pbr_secret *ret, struct pbr_diag *diag)
{
    char path[4096];
    struct pbr_buf content;
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    const int n = dir ? snprintf(path, sizeof(path), "%s/%s", dir, credential) : -1;
    if (n < 0 || (size_t)n >= sizeof(path) || access(path, F_OK) != 0)
        return PBR_OK;
    const int rc = content_of_file(cli, path, &content, diag);
    return rc < 0 ? rc : keep_content(cli, &content, true, ret, diag); /* no first-line rule (API-041) */
}

int pbr_secret_from_env(struct pbr_cli *cli, const char *base, const char *credential, struct pbr_secret *ret,
                        struct pbr_diag *diag)
{
    static const struct {
        const char *suffix;
        int (*load)(struct pbr_cli *cli, const char *text, struct pbr_buf *ret, struct pbr_diag *diag);
    } sources[] = { { "_FD", content_of_fd }, { "_FILE", content_of_file }, { "_CMD", content_of_command } };
    char variable[96];
    const char *text = getenv(base);
    *ret = (struct pbr_secret){ 0 };
    if (text)
        return keep(cli, first_line(pbr_span_str(text)), ret, diag);
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        struct pbr_buf content;
        (void)snprintf(variable, sizeof(variable), "%s%s", base, sources[i].suffix);
        text = getenv(variable);
        if (!text)
            continue;
        const int rc = sources[i].load(cli, text, &content, diag);
        if (rc < 0)
            pbr_diag_context(diag, "%s", variable);
        return rc < 0 ? rc : keep_content(cli, &content, false, ret, diag);
    }
    return from_credential(cli, credential, ret, diag);
}

/* ---- terminal ---- */

static const int asked_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
enum { SIGNAL_NR = sizeof(asked_signals) / sizeof(asked_signals[0]) };

static volatile sig_atomic_t caught_signal; /* while a question is open */

static void note_signal(int signo)
{
    caught_signal = signo;
}

/* State of the terminal and of signals before the question. */
struct question {
    struct termios terminal;
    sigset_t mask;
    struct sigaction actions[SIGNAL_NR];
};

bool pbr_can_ask(void)
{
    return isatty(STDIN_FILENO) != 0;
}

/* Signals are blocked but for the wait itself, so that none can come between looking and reading. */
static bool open_question(struct question *q)
{
    const struct sigaction note = { .sa_handler = note_signal };
    sigset_t set;
    if (tcgetattr(STDIN_FILENO, &q->terminal) != 0)
        return false;
    caught_signal = 0;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < SIGNAL_NR; i++)
        (void)sigaddset(&set, asked_signals[i]);
    (void)sigprocmask(SIG_BLOCK, &set, &q->mask);
    for (size_t i = 0; i < SIGNAL_NR; i++) {
        (void)sigaction(asked_signals[i], NULL, &q->actions[i]);
        if (q->actions[i].sa_handler != SIG_IGN) /* what nohup or a shell told us to ignore stays ignored */
            (void)sigaction(asked_signals[i], &note, NULL);
    }
    struct termios silent = q->terminal;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    silent.c_lflag |= ICANON;
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    return true;
}

/* The signal that ended the question takes its usual effect now, echo being back. */
static void close_question(struct question *q)
{
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &q->terminal);
    (void)!write(STDERR_FILENO, "\n", 1);
    for (size_t i = 0; i < SIGNAL_NR; i++)
        (void)sigaction(asked_signals[i], &q->actions[i], NULL);
    (void)sigprocmask(SIG_SETMASK, &q->mask, NULL);
    if (caught_signal)
        (void)raise(caught_signal);
}

/* A line of the terminal; its length, 0 at the end of input, -1 if a signal or an error came first. */
static ssize_t wait_line(const struct question *q, uint8_t *out, size_t cap)
{
    struct pollfd ready = { .fd = STDIN_FILENO, .events = POLLIN };
    while (ppoll(&ready, 1, NULL, &q->mask) < 0)
        if (errno != EINTR || caught_signal)
            return -1;
    return read(STDIN_FILENO, out, cap);
}

int pbr_ask_secret(struct pbr_cli *cli, const char *question, struct pbr_secret *ret, struct pbr_diag *diag)
{
    uint8_t line[4096]; /* longest line a terminal gives */
    struct question q;
    ssize_t n;
    int stopped;
    do { /* again after a pause (SIGTSTP) */
        if (!open_question(&q))
            return pbr_fail_os(diag, errno, "cannot ask on the terminal");
        (void)!write(STDERR_FILENO, question, strlen(question));
        n = wait_line(&q, line, sizeof(line));
        stopped = caught_signal;
        close_question(&q);
    } while (n < 0 && stopped == SIGTSTP);
    const int rc = n > 0 ? keep(cli, first_line(pbr_span(line, (size_t)n)), ret, diag)
                         : pbr_fail_at(diag, PBR_E_CANCELED, NULL, "nothing was entered");
    pbr_wipe(line, sizeof(line));
    return rc;
}

int pbr_ask_new_passphrase(struct pbr_cli *cli, struct pbr_secret *ret, struct pbr_diag *diag)
{
    struct pbr_secret first = { 0 }, second = { 0 };
    if (!pbr_can_ask())
        return pbr_fail_at(diag, PBR_E_STATE, "CRY-065", "no terminal to read the new passphrase from (without one: --kdf none)");
    int rc = pbr_ask_secret(cli, "New passphrase: ", &first, diag);
    if (rc == PBR_OK && first.len < PBR_PASSPHRASE_MIN)
        rc = pbr_fail_at(diag, PBR_E_STATE, "CRY-034", "passphrase is shorter than %d bytes", (int)PBR_PASSPHRASE_MIN);
    if (rc == PBR_OK)
        rc = pbr_ask_secret(cli, "The same again: ", &second, diag);
    if (rc == PBR_OK && (first.len != second.len || memcmp(first.ptr, second.ptr, first.len) != 0))
        rc = pbr_fail_at(diag, PBR_E_STATE, "CRY-065", "the two passphrases differ");
    pbr_secret_release(&second);
    if (rc < 0) {
        pbr_secret_release(&first);
        return rc;
    }
    *ret = first;
    return PBR_OK;
}
