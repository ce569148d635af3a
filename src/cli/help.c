/* SPDX-License-Identifier: MIT */
/* Help, man page and bash completion from the table of commands; see args.h. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

enum { WIDTH = 96, INDENT = 34 };

/* Words wrapped at WIDTH; `at` is the column the cursor is in. */
static void print_wrapped(const char *text, size_t at, size_t indent)
{
    while (*text) {
        const size_t len = strcspn(text, " \n");
        if (at > indent && at + 1 + len > WIDTH) {
            (void)printf("\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            (void)putchar(' ');
            at++;
        }
        (void)printf("%.*s", (int)len, text);
        at += len;
        text += len;
        text += strspn(text, " ");
        if (*text == '\n') { /* a new paragraph */
            (void)printf("\n\n");
            text += strspn(text, "\n");
            at = 0;
        }
    }
    (void)putchar('\n');
}

static void print_usage(const struct pbr_command *c)
{
    (void)printf("pbsref %s", c->path);
    for (const struct pbr_pos *p = c->positionals; p && p->name; p++)
        (void)printf(p->optional ? " [<%s>%s]" : " <%s>%s", p->name, p->list ? "..." : "");
    (void)printf(" [options]\n");
}

static void option_head(const struct pbr_opt *o, char *out, size_t cap)
{
    (void)snprintf(out, cap, "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
}

static void print_options(const struct pbr_command *c)
{
    char head[96];
    for (const struct pbr_opt *const *group = c->opts; group && *group; group++) {
        for (const struct pbr_opt *o = *group; o->name; o++) {
            option_head(o, head, sizeof(head));
            const int n = printf("  %-*s", INDENT - 3, head);
            if (n > INDENT - 1)
                (void)printf("\n%*s", INDENT, "");
            else
                (void)printf("%*s", INDENT - n, "");
            print_wrapped(o->help, INDENT, INDENT);
            if (o->own)
                (void)printf("%*s(only in pbsref)\n", INDENT, "");
        }
    }
}

static void print_command(const struct pbr_command *c)
{
    (void)printf("Usage: ");
    print_usage(c);
    (void)putchar('\n');
    print_wrapped(c->summary, 0, 0);
    if (c->own)
        (void)printf("(only in pbsref)\n");
    if (c->details) {
        (void)putchar('\n');
        print_wrapped(c->details, 0, 0);
    }
    if (c->positionals)
        (void)printf("\nArguments:\n");
    for (const struct pbr_pos *p = c->positionals; p && p->name; p++)
        (void)printf("  <%s>%*s%s\n", p->name, (int)(strlen(p->name) < 28 ? 28 - strlen(p->name) : 1), "", p->help);
    if (c->opts) {
        (void)printf("\nOptions:\n");
        print_options(c);
    }
}

static const char intro[] =
    "pbsref: backup and restore over the Proxmox Backup protocol, archives as files, and a mock server with a real datastore. "
    "Exit status: 0 done, 1 failed, 2 usage, 3 input malformed or integrity violated, 4 the peer could not be reached or "
    "refused, 5 done in part, 130 interrupted.";

void pbr_help_print(const struct pbr_command *command, bool verbose)
{
    if (command) {
        print_command(command);
        return;
    }
    print_wrapped(intro, 0, 0);
    (void)printf("\nUsage: pbsref <command> [arguments] [options]\n\nCommands:\n");
    for (const struct pbr_command *c = pbr_commands; c->path; c++)
        (void)printf("  %-22s %s\n", c->path, c->summary);
    (void)printf("\n'pbsref help <command>' or '<command> --help' shows its options. Repository: --repository or PBS_REPOSITORY,\n"
                 "e.g. root@pam@backup.example:8007:store1, or dir:PATH for a datastore directory of this machine.\n");
    for (const struct pbr_command *c = pbr_commands; verbose && c->path; c++) {
        (void)printf("\n----\n");
        print_command(c);
    }
}

void pbr_help_group(FILE *out, const char *group)
{
    const size_t len = strlen(group);
    (void)fprintf(out, "Commands of '%s':\n", group);
    for (const struct pbr_command *c = pbr_commands; c->path; c++)
        if (strncmp(c->path, group, len) == 0 && c->path[len] == ' ')
            (void)fprintf(out, "  %-22s %s\n", c->path, c->summary);
}

/* ---- man page ---- */

static void print_roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        (void)fputs("\\&", stdout);
    for (; *text; text++) {
        if (*text == '-' || *text == '\\')
            (void)putchar('\\');
        (void)putchar(*text == '\\' ? 'e' : *text);
    }
    (void)putchar('\n');
}

static void man_command(const struct pbr_command *c)
{
    (void)printf(".SS \"");
    (void)printf("pbsref %s", c->path);
    for (const struct pbr_pos *p = c->positionals; p && p->name; p++)
        (void)printf(p->optional ? " [%s%s]" : " %s%s", p->name, p->list ? "..." : "");
    (void)printf("\"\n");
    print_roff(c->summary);
    if (c->details) {
        (void)printf(".PP\n");
        print_roff(c->details);
    }
    for (const struct pbr_opt *const *group = c->opts; group && *group; group++) {
        for (const struct pbr_opt *o = *group; o->name; o++) {
            (void)printf(".TP\n.BR \\-\\-");
            print_roff(o->name);
            if (o->value)
                (void)printf(".I %s\n.br\n", o->value);
            print_roff(o->help);
        }
    }
}

void pbr_help_man(void)
{
    static const struct {
        const char *name, *text;
    } variables[] = {
        { "PBS_REPOSITORY", "default repository (also _FD, _FILE, _CMD)" },
        { "PBS_PASSWORD", "password or API token secret (also _FD, _FILE, _CMD)" },
        { "PBS_FINGERPRINT", "SHA-256 fingerprint of the server's certificate (also _FD, _FILE, _CMD)" },
        { "PBS_ENCRYPTION_PASSWORD", "passphrase of the key file (also _FD, _FILE, _CMD)" },
        { "PBS_SERVER, PBS_PORT, PBS_DATASTORE, PBS_AUTH_ID, PBS_NAMESPACE", "parts of the repository, namespace" },
        { "PBS_LOG, PXAR_LOG", "off, error, warn, info or debug" },
        { "ALL_PROXY", "HTTP proxy" },
        { "PROXMOX_OUTPUT_FORMAT, PROXMOX_OUTPUT_NO_BORDER, PROXMOX_OUTPUT_NO_HEADER", "form of the output" },
        { "NO_COLOR", "no colour, also on a terminal" },
    };
    (void)printf(".TH PBSREF 1 \"\" \"pbsref %s\"\n.SH NAME\npbsref \\- reference client and mock server of the Proxmox Backup "
                 "protocol\n.SH SYNOPSIS\n.B pbsref\n.I command\n[arguments] [options]\n.SH DESCRIPTION\n", PBR_VERSION);
    print_roff(intro);
    (void)printf(".SH COMMANDS\n");
    for (const struct pbr_command *c = pbr_commands; c->path; c++)
        man_command(c);
    (void)printf(".SH ENVIRONMENT\n");
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        (void)printf(".TP\n.B %s\n", variables[i].name);
        print_roff(variables[i].text);
    }
    (void)printf(".SH EXAMPLES\n.nf\npbsref store init /srv/store\n"
                 "pbsref backup root.pxar:/etc \\-\\-repository dir:/srv/store \\-\\-change\\-detection\\-mode data\n"
                 "pbsref restore host/$(hostname \\-s) root.pxar /tmp/etc \\-\\-repository dir:/srv/store\n.fi\n");
}

/* ---- bash completion ---- */

void pbr_help_bash(void)
{
    (void)printf("# bash completion for pbsref; made by 'pbsref help --format bash'\n_pbsref() {\n"
                 "    local cur=${COMP_WORDS[COMP_CWORD]} words=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\" all=\"\"\n"
                 "    case \"$words\" in\n");
    for (const struct pbr_command *c = pbr_commands; c->path; c++) {
        (void)printf("    '%s'*) all=\"", c->path);
        for (const struct pbr_opt *const *group = c->opts; group && *group; group++)
            for (const struct pbr_opt *o = *group; o->name; o++)
                (void)printf("--%s ", o->name);
        (void)printf("--help\" ;;\n");
    }
    static const char *const families[] = { "snapshot", "catalog", "pxar", "store" };
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        const size_t len = strlen(families[i]);
        (void)printf("    %s) all=\"", families[i]);
        for (const struct pbr_command *c = pbr_commands; c->path; c++)
            if (strncmp(c->path, families[i], len) == 0 && c->path[len] == ' ')
                (void)printf("%s ", c->path + len + 1);
        (void)printf("\" ;;\n");
    }
    (void)printf("    '') all=\"");
    for (const struct pbr_command *c = pbr_commands; c->path; c++)
        if (c == pbr_commands || strncmp(c->path, c[-1].path, strcspn(c->path, " ") + 1) != 0)
            (void)printf("%.*s ", (int)strcspn(c->path, " "), c->path);
    (void)printf("\" ;;\n    esac\n"
                 "    COMPREPLY=($(compgen -W \"$all\" -- \"$cur\"))\n}\n"
                 "complete -o default -F _pbsref pbsref\n");
}
