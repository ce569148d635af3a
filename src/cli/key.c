/* SPDX-License-Identifier: MIT */
/* Choosing, loading and unlocking the encryption key that a command needs [CRY-050 .. CRY-064, CLI-045, CLI-047]; see cli.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cache.h"
#include "cli/cli.h"
#include "cli/secret.h"
#include "format/keyfile.h"
#include "sys/fd.h"

#define KEY_NAME "proxmox-backup/encryption-key.json"

/* ---- where it is ---- */

static bool exists_in(const char *dir, size_t dir_len, char *out, size_t cap)
{
    const int n = snprintf(out, cap, "%.*s/%s", (int)dir_len, dir, KEY_NAME);
    return n > 0 && (size_t)n < cap && access(out, F_OK) == 0;
}

/* Below the user's settings, then below each directory of $XDG_CONFIG_DIRS. */
bool pbr_key_find_default(char *out, size_t cap)
{
    const char *dirs = getenv("XDG_CONFIG_DIRS");
    bool found = pbr_key_default_place(out, cap) && access(out, F_OK) == 0;
    for (const char *dir = dirs && dirs[0] ? dirs : "/etc/xdg"; !found && *dir;) {
        const size_t len = strcspn(dir, ":");
        found = len && len < cap && exists_in(dir, len, out, cap);
        dir += len + (dir[len] == ':');
    }
    return found;
}

bool pbr_key_default_place(char *out, size_t cap)
{
    char buf[4096];
    const char *config = pbr_config_dir(buf);
    const int n = config ? snprintf(out, cap, "%s/%s", config, KEY_NAME) : -1;
    return n > 0 && (size_t)n < cap;
}

/* ---- reading it ---- */

/* Takes the text over. */
static int parse_text(struct pbr_cli *cli, struct pbr_buf *text, struct pbr_keyfile *ret, struct pbr_diag *diag)
{
    const int rc = pbr_keyfile_parse(ret, &cli->env, pbr_buf_span(text), diag);
    pbr_wipe(text->ptr, text->cap);
    pbr_buf_release(text);
    return rc;
}

int pbr_keyfile_load(struct pbr_cli *cli, const char *path, struct pbr_keyfile *ret, struct pbr_diag *diag)
{
    struct pbr_buf text;
    int rc = pbr_load_file(&cli->env, AT_FDCWD, path, PBR_SECRET_MAX, &text, diag);
    if (rc < 0)
        return rc;
    rc = parse_text(cli, &text, ret, diag);
    if (rc < 0)
        pbr_diag_context(diag, "key file %s", path);
    return rc;
}

/* A descriptor is read to its end and closed (CRY-050). */
static int load_fd(struct pbr_cli *cli, int fd, struct pbr_keyfile *ret, struct pbr_diag *diag)
{
    struct pbr_buf text;
    int rc = pbr_load_fd(&cli->env, fd, PBR_SECRET_MAX, "the key file's descriptor", &text, diag);
    pbr_close(&fd);
    if (rc < 0)
        return rc;
    rc = parse_text(cli, &text, ret, diag);
    if (rc < 0)
        pbr_diag_context(diag, "key file from descriptor");
    return rc;
}

static int get_passphrase(struct pbr_cli *cli, struct pbr_secret *ret, struct pbr_diag *diag)
{
    const int rc =
        pbr_secret_from_env(cli, "PBS_ENCRYPTION_PASSWORD", "proxmox-backup-client.encryption-password", ret, diag);
    if (rc < 0 || ret->ptr)
        return rc;
    if (!pbr_can_ask())
        return pbr_fail_at(diag, PBR_E_CRYPTO, "CRY-064",
                           "the key is locked with a passphrase, and there is no terminal to ask for it: set "
                           "PBS_ENCRYPTION_PASSWORD, .._FD, .._FILE or .._CMD");
    return pbr_ask_secret(cli, "Passphrase of the encryption key: ", ret, diag);
}

int pbr_keyfile_open(struct pbr_cli *cli, const struct pbr_keyfile *file, uint8_t ret_key[32], struct pbr_diag *diag)
{
    struct pbr_secret password = { 0 };
    int rc = file->kdf == PBR_KDF_NONE ? PBR_OK : get_passphrase(cli, &password, diag);
    const struct pbr_span text = pbr_span(password.ptr, password.len);
    if (rc == PBR_OK)
        rc = pbr_keyfile_unlock(file, password.ptr ? &text : NULL, ret_key, diag);
    pbr_secret_release(&password);
    return rc;
}

/* ---- choosing it ---- */

/* What to do without a look at any key: the mode asked for, and whether the default place counts (CRY-052). */
static int take_mode(const struct pbr_args *args, bool explicit_key, bool *ret_given, enum pbr_crypt_mode *ret,
                     struct pbr_diag *diag)
{
    const char *text = pbr_args_knows(args, "crypt-mode") ? pbr_args_text(args, "crypt-mode") : NULL;
    *ret_given = text != NULL;
    *ret = PBR_CRYPT_ENCRYPT;
    if (text && !pbr_crypt_mode_parse(pbr_span_str(text), ret))
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-045", "unknown crypt mode '%s'", text);
    if (*ret == PBR_CRYPT_NONE && explicit_key)
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-045", "--keyfile/--keyfd and --crypt-mode=none are mutually exclusive");
    return PBR_OK;
}

static int derive(struct pbr_cli *cli, const struct pbr_keyfile *file, struct pbr_crypt *ret, struct pbr_diag *diag)
{
    uint8_t key[PBR_KEY_LEN];
    int rc = pbr_keyfile_open(cli, file, key, diag);
    if (rc == PBR_OK) {
        rc = pbr_crypt_init(ret, key);
        if (rc < 0)
            (void)pbr_fail_at(diag, rc, NULL, "cannot derive keys");
    }
    pbr_wipe(key, sizeof(key));
    return rc;
}

int pbr_key_load(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_key_choice *ret, struct pbr_diag *diag)
{
    char path[4096];
    struct pbr_keyfile keyfile;
    bool given = false;
    const char *file = pbr_args_text(args, "keyfile");
    const bool by_fd = pbr_args_has(args, "keyfd");
    *ret = (struct pbr_key_choice){ .mode = PBR_CRYPT_NONE };
    if (file && by_fd)
        return pbr_fail_at(diag, PBR_E_ARG, "CRY-050", "--keyfile and --keyfd are mutually exclusive");
    enum pbr_crypt_mode mode;
    int rc = take_mode(args, file || by_fd, &given, &mode, diag);
    if (rc < 0 || mode == PBR_CRYPT_NONE)
        return rc;
    if (!file && !by_fd && !pbr_key_find_default(path, sizeof(path)))
        return given ? pbr_fail_at(diag, PBR_E_ARG, "CLI-045",
                                   "--crypt-mode without --keyfile and no default key file available")
                     : PBR_OK;
    if (by_fd)
        (void)snprintf(ret->source, sizeof(ret->source), "Using encryption key from file descriptor..");
    else if (file)
        (void)snprintf(ret->source, sizeof(ret->source), "Using encryption key from '%s'..", file);
    else
        (void)snprintf(ret->source, sizeof(ret->source), "Using default encryption key..");
    rc = by_fd ? load_fd(cli, (int)pbr_args_number(args, "keyfd", 0), &keyfile, diag)
               : pbr_keyfile_load(cli, file ? file : path, &keyfile, diag);
    if (rc < 0)
        return rc;
    rc = derive(cli, &keyfile, &ret->crypt, diag);
    pbr_keyfile_release(&keyfile);
    if (rc < 0)
        pbr_diag_context(diag, "key file %s", by_fd ? "from descriptor" : file ? file : path);
    else
        ret->mode = mode;
    return rc;
}

const struct pbr_crypt *pbr_key_announce(struct pbr_cli *cli, const struct pbr_key_choice *choice)
{
    char fingerprint[PBR_FINGERPRINT_TEXT + 1];
    if (choice->mode == PBR_CRYPT_NONE)
        return NULL;
    pbr_fingerprint_format(choice->crypt.fingerprint, fingerprint);
    pbr_log(&cli->env, PBR_LOG_INFO, "%s", choice->source);
    pbr_log(&cli->env, PBR_LOG_INFO, "Encryption key fingerprint: %.23s", fingerprint);
    return &choice->crypt;
}
