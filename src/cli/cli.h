/* SPDX-License-Identifier: MIT */
/* What all commands share: the env, the terminal, output formats, the repository from options and environment, the embedded
 * server of dir: repositories. The only room that prints, reads the environment and exits.
 * Thread: main thread, but for the log, which is locked. */
#ifndef PBR_CLI_CLI_H
#define PBR_CLI_CLI_H

#include <jansson.h>

#include "cli/args.h"
#include "client/api.h"
#include "chunk/seal.h"
#include "format/manifest.h"

enum pbr_format { PBR_FORMAT_TEXT, PBR_FORMAT_JSON, PBR_FORMAT_JSON_PRETTY };

struct pbr_embedded;

struct pbr_cli {
    struct pbr_env env;
    enum pbr_log_level level;
    bool stderr_tty, colour;
    struct pbr_embedded *embedded; /* server of a dir: repository, while one is open */
};

/* ---- output (out.c) ---- */

/* Exit status for a result [design: 0 done, 1 failed, 2 usage, 3 malformed, 4 peer, 5 in part]. */
int pbr_exit_code(int rc);
/* The result of archiving a source: what cannot be archived is a failure, not malformed input (CRT-010, CRT-030, CRT-183). */
int pbr_source_result(int rc);
/* "Error: ..." on stderr. */
void pbr_print_error(const struct pbr_cli *cli, const struct pbr_diag *diag);
void pbr_cli_log(void *ctx, enum pbr_log_level level, const char *line);
enum pbr_log_level pbr_log_level_from(const char *text);
/* --output-format, else PROXMOX_OUTPUT_FORMAT, else text (CLI-013). */
enum pbr_format pbr_output_format(const struct pbr_args *args);
/* ARG if the environment names a format that there is none of. */
PBR_MUST_USE int pbr_output_check(const struct pbr_args *args, struct pbr_diag *diag);
PBR_MUST_USE int pbr_print_json(const json_t *value, enum pbr_format format, struct pbr_diag *diag);

/* A table on stdout: box characters on a UTF-8 terminal, plain otherwise. */
struct pbr_table;
struct pbr_table_column {
    const char *title;
    bool right;
};
PBR_MUST_USE int pbr_table_new(const struct pbr_env *env, const struct pbr_table_column *columns, size_t nr,
                               struct pbr_table **ret);
/* Cells are copied; NULL is empty. */
PBR_MUST_USE int pbr_table_row(struct pbr_table *t, const char *const *cells);
void pbr_table_print(const struct pbr_table *t);
void pbr_table_free(struct pbr_table *t);

/* One line of progress on a terminal, redrawn a few times a second (progress.c). */
void pbr_progress_show(struct pbr_cli *cli, const char *what, uint64_t files, uint64_t bytes, uint64_t total);
void pbr_progress_clear(void);

/* ---- repository (config.c) ---- */

extern const struct pbr_opt pbr_opts_repository[]; /* group R of cli.md */
extern const struct pbr_opt pbr_opts_namespace[];  /* group N */
extern const struct pbr_opt pbr_opts_key[];        /* group K */
extern const struct pbr_opt pbr_opts_output[];     /* group O */
extern const struct pbr_opt pbr_opts_rate[];       /* --rate, --burst */

/* --repository and its parts, environment [API-030]. */
PBR_MUST_USE int pbr_repository(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_repo *ret,
                                struct pbr_diag *diag);
/* --ns or PBS_NAMESPACE, checked; "" = root. Borrowed. */
PBR_MUST_USE int pbr_namespace(const struct pbr_args *args, const char **ret, struct pbr_diag *diag);

/* A client for the command's repository: starts the embedded server for dir:. Closed by pbr_cli_disconnect. */
PBR_MUST_USE int pbr_cli_connect(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_client **ret,
                                 struct pbr_diag *diag);
/* Also stores a new ticket and an accepted fingerprint [API-044 .. API-047, API-053]. */
void pbr_cli_disconnect(struct pbr_cli *cli, struct pbr_client *c);
PBR_MUST_USE int pbr_ticket_forget(struct pbr_cli *cli, const struct pbr_repo *repo, struct pbr_diag *diag);

/* ---- keys (key.c) ---- */

/* The key that a command's options and the default key file select, and what it is for (CRY-052). */
struct pbr_key_choice {
    enum pbr_crypt_mode mode; /* PBR_CRYPT_NONE: no key */
    struct pbr_crypt crypt;   /* wiped by the caller (pbr_crypt_wipe), also after a failure */
    char source[4200];        /* message: where the key comes from (CLI-047) */
};
/* Looks at --keyfile, --keyfd, --crypt-mode (where the command has it) and the default place, and asks for the passphrase if
 * there is one. ARG for combinations that make no sense. */
PBR_MUST_USE int pbr_key_load(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_key_choice *ret,
                              struct pbr_diag *diag);
/* For commands that read: the key to use, announced in the log, or NULL. */
const struct pbr_crypt *pbr_key_announce(struct pbr_cli *cli, const struct pbr_key_choice *choice);
/* Where the default key file is, the first that exists, or where it is made (CRY-051). False if there is none, or no home. */
bool pbr_key_find_default(char *out, size_t cap);
bool pbr_key_default_place(char *out, size_t cap);
struct pbr_keyfile;
PBR_MUST_USE int pbr_keyfile_load(struct pbr_cli *cli, const char *path, struct pbr_keyfile *ret, struct pbr_diag *diag);
/* The key in a file; asks for its passphrase if it has one (CRY-060 .. CRY-064). */
PBR_MUST_USE int pbr_keyfile_open(struct pbr_cli *cli, const struct pbr_keyfile *file, uint8_t ret_key[32],
                                  struct pbr_diag *diag);

/* --chunk-size of a backup, in bytes (cmd_backup.c). */
PBR_MUST_USE int pbr_chunk_size_from(const struct pbr_args *args, uint64_t *ret, struct pbr_diag *diag);

/* ---- embedded server (embed.c) ---- */

/* A datastore in `dir` if there is none yet: where nothing is, or an empty directory. Says so in the log. */
PBR_MUST_USE int pbr_embedded_prepare(struct pbr_cli *cli, const char *dir, struct pbr_diag *diag);
PBR_MUST_USE int pbr_embedded_start(struct pbr_cli *cli, const char *dir, struct pbr_embedded **ret,
                                    struct pbr_diag *diag);
void pbr_embedded_stop(struct pbr_embedded *e);
/* Ends all sessions soon, from a signal handler; stop still has to be called. */
void pbr_embedded_interrupt(struct pbr_embedded *e);
/* A file (path from the current directory) that an interrupt removes, because only half of it is there; NULL: none.
 * The text must live until it is taken back. */
void pbr_interrupt_removes(const char *path);
/* For pbr_client_opts.dial; ctx is the embedded server. */
int pbr_embedded_dial(void *ctx);

/* ---- commands ---- */

typedef int pbr_command_fn(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag);
pbr_command_fn pbr_cmd_backup, pbr_cmd_restore, pbr_cmd_list, pbr_cmd_snapshot_list, pbr_cmd_snapshot_files,
    pbr_cmd_snapshot_forget, pbr_cmd_catalog_dump, pbr_cmd_login, pbr_cmd_logout, pbr_cmd_version, pbr_cmd_status,
    pbr_cmd_prune, pbr_cmd_pxar_create, pbr_cmd_pxar_extract, pbr_cmd_pxar_list, pbr_cmd_pxar_dump,
    pbr_cmd_pxar_verify, pbr_cmd_serve, pbr_cmd_store_init, pbr_cmd_store_verify, pbr_cmd_store_gc,
    pbr_cmd_store_stat, pbr_cmd_key_create, pbr_cmd_key_show,
    pbr_cmd_key_change_passphrase, pbr_cmd_chunk, pbr_cmd_blob_encode, pbr_cmd_inspect,
    pbr_cmd_reuse_plan, pbr_cmd_reuse_show, pbr_cmd_check, pbr_cmd_help;
/* Replaces the process; returns only after a failure. */
PBR_MUST_USE int pbr_cmd_conform(struct pbr_cli *cli, int argc, char **argv, struct pbr_diag *diag);

extern const struct pbr_opt pbr_opts_backup[], pbr_opts_restore[], pbr_opts_prune[], pbr_opts_pxar_create[],
    pbr_opts_pxar_extract[], pbr_opts_pxar_payload[], pbr_opts_pxar_list[], pbr_opts_serve[], pbr_opts_store_verify[],
    pbr_opts_store_gc[], pbr_opts_store_init[], pbr_opts_key_new[], pbr_opts_chunk[], pbr_opts_blob_encode[], pbr_opts_inspect[], pbr_opts_conform[],
    pbr_opts_reuse_plan[], pbr_opts_reuse_show[],
    pbr_opts_check[], pbr_opts_help[];

#endif
