/* SPDX-License-Identifier: MIT */
/* Entry: environment, command, exit status. */
#include <curl/curl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "sys/env.h"

int pbr_cmd_help(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    const char *const *words;
    const struct pbr_command *command = NULL;
    int used;
    (void)cli;
    const size_t n = pbr_args_list(args, "command", &words);
    const char *format = pbr_args_text(args, "format");
    if (format && strcmp(format, "man") == 0)
        pbr_help_man();
    else if (format && strcmp(format, "bash") == 0)
        pbr_help_bash();
    else {
        char *argv[64];
        for (size_t i = 0; i < n && i < 64; i++)
            argv[i] = (char *)(uintptr_t)words[i];
        const int rc = n ? pbr_command_find((int)(n < 64 ? n : 64), argv, &command, &used, diag) : PBR_OK;
        if (rc < 0)
            return rc;
        pbr_help_print(command, pbr_args_bool(args, "verbose"));
    }
    return fflush(stdout) == 0 ? PBR_OK : pbr_fail_at(diag, PBR_E_IO, NULL, "cannot write to standard output");
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* No command, but perhaps a group of them: what there is, on standard error, or on standard output if it was asked for. */
static int help_on_group(int argc, char **argv, int rc, struct pbr_diag *diag)
{
    const char *group = pbr_command_group(argv[0]);
    if (!group)
        return rc;
    if (argc == 2 && wants_help(1, argv + 1)) {
        pbr_diag_clear(diag);
        pbr_help_group(stdout, group);
        return PBR_OK;
    }
    pbr_help_group(stderr, group);
    if (argc > 1)
        return rc;
    pbr_diag_clear(diag);
    return pbr_fail_at(diag, PBR_E_ARG, "CLI-007", "no command specified.");
}

static int run(struct pbr_cli *cli, int argc, char **argv, struct pbr_diag *diag)
{
    const struct pbr_command *command;
    struct pbr_args *args;
    int used;
    if (argc == 0 || (argc == 1 && wants_help(argc, argv))) {
        pbr_help_print(NULL, false);
        return argc == 0 ? pbr_fail_at(diag, PBR_E_ARG, "CLI-007", "no command specified.") : PBR_OK;
    }
    int rc = pbr_command_find(argc, argv, &command, &used, diag);
    if (rc < 0)
        return help_on_group(argc, argv, rc, diag);
    if (command->hand_over && argc > used && argv[used][0] != '-')
        return command->hand_over(cli, argc - used, argv + used, diag);
    if (command->hand_over || wants_help(argc - used, argv + used)) {
        pbr_help_print(command, false);
        return PBR_OK;
    }
    const bool pxar = strncmp(command->path, "pxar", 4) == 0; /* CLI-012 */
    cli->level = pbr_log_level_from(getenv(pxar && getenv("PXAR_LOG") ? "PXAR_LOG" : "PBS_LOG"));
    rc = pbr_args_parse(&cli->env, command, argc - used, argv + used, &args, diag);
    if (rc < 0)
        return rc;
    rc = pbr_output_check(args, diag);
    if (rc == PBR_OK)
        rc = command->run(cli, args, diag);
    pbr_args_free(args);
    return rc;
}

/* The embedded server of a dir: repository ends its sessions, which removes the unfinished snapshot; a remote server does
 * that when the connection ends. A second signal does not wait, and nobody waits for a source that gives nothing. */
enum { GRACE_S = 2 };

static struct pbr_cli *interrupted_cli;
static volatile sig_atomic_t interrupted;

static const char *volatile half_file;

void pbr_interrupt_removes(const char *path)
{
    half_file = path;
}

static void leave_now(void)
{
    if (half_file)
        (void)unlink(half_file);
    _exit(130);
}

static void on_interrupt(int signo)
{
    static const char text[] = "\ninterrupted\n";
    (void)signo;
    if (!interrupted)
        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    if (interrupted || !interrupted_cli->embedded)
        leave_now();
    interrupted = 1;
    (void)alarm(GRACE_S);
    pbr_embedded_interrupt(interrupted_cli->embedded);
}

static void on_alarm(int signo)
{
    (void)signo;
    leave_now();
}

/* ---- memory of the JSON library: key files and tickets pass through it, so that it is wiped before it is given back ---- */

static const struct pbr_env *json_env;
enum { JSON_HEAD = 16 }; /* holds the length; keeps alignment */

static void *json_take(size_t size)
{
    uint8_t *block = size < SIZE_MAX - JSON_HEAD ? pbr_realloc(json_env, NULL, size + JSON_HEAD) : NULL;
    if (!block)
        return NULL;
    memcpy(block, &size, sizeof(size));
    return block + JSON_HEAD;
}

static void json_give(void *ptr)
{
    size_t size;
    if (!ptr)
        return;
    uint8_t *block = (uint8_t *)ptr - JSON_HEAD;
    memcpy(&size, block, sizeof(size));
    pbr_wipe(block, size + JSON_HEAD);
    pbr_free(json_env, block);
}

int main(int argc, char **argv)
{
    struct pbr_cli cli = { .level = PBR_LOG_INFO };
    struct pbr_diag diag = { 0 };
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    const struct sigaction interrupt = { .sa_handler = on_interrupt };
    const struct sigaction expired = { .sa_handler = on_alarm };
    (void)setlocale(LC_CTYPE, ""); /* tables with box characters; everything else stays in the C locale */
    (void)sigaction(SIGPIPE, &ignore, NULL);
    interrupted_cli = &cli;
    (void)sigaction(SIGINT, &interrupt, NULL);
    (void)sigaction(SIGTERM, &interrupt, NULL);
    (void)sigaction(SIGALRM, &expired, NULL);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    pbr_sys_tune_memory();
    cli.env = pbr_sys_env(pbr_cli_log, &cli);
    json_env = &cli.env;
    json_set_alloc_funcs(json_take, json_give);
    cli.stderr_tty = isatty(STDERR_FILENO) != 0;
    cli.colour = cli.stderr_tty && !getenv("NO_COLOR");
    const int rc = run(&cli, argc - 1, argv + 1, &diag);
    if (rc < 0 && !interrupted) {
        if (diag.code == PBR_OK)
            (void)pbr_fail_at(&diag, (enum pbr_err)rc, NULL, "%s", pbr_err_name(rc));
        pbr_print_error(&cli, &diag);
    }
    curl_global_cleanup();
    return interrupted ? 130 : pbr_exit_code(rc);
}
