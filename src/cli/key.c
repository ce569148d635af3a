/* SPDX-License-Identifier: MIT */
/* Loading the encryption key that a command needs [CLI-045, CLI-047]; see cli.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "format/keyfile.h"
#include "format/manifest.h"
#include "sys/fd.h"

enum { KEYFILE_MAX = 64 << 10 };

static int unlock(struct pbr_cli *cli, const struct pbr_keyfile *file, struct pbr_crypt *ret, struct pbr_diag *diag)
{
    struct pbr_secret password = { 0 };
    uint8_t key[PBR_KEY_LEN];
    int rc = PBR_OK;
    if (file->kdf != PBR_KDF_NONE) {
        rc = pbr_secret_from_env(cli, "PBS_ENCRYPTION_PASSWORD", "proxmox-backup-client.encryption-password", &password,
                                 diag);
        if (rc == PBR_OK && !password.ptr)
            rc = pbr_fail_at(diag, PBR_E_CRYPTO, "API-040",
                             "the key file is locked with a passphrase: set PBS_ENCRYPTION_PASSWORD, .._FILE, .._FD or .._CMD");
    }
    const struct pbr_span text = pbr_span(password.ptr, password.len);
    if (rc == PBR_OK)
        rc = pbr_keyfile_unlock(file, password.ptr ? &text : NULL, key, diag);
    if (rc == PBR_OK) {
        rc = pbr_crypt_init(ret, key);
        if (rc < 0)
            (void)pbr_fail_at(diag, rc, NULL, "cannot derive keys");
    }
    pbr_wipe(key, sizeof(key));
    pbr_secret_release(&password);
    return rc;
}

static int load_key(struct pbr_cli *cli, const char *path, struct pbr_crypt *ret, struct pbr_diag *diag)
{
    struct pbr_buf text;
    struct pbr_keyfile file;
    int rc = pbr_load_file(&cli->env, AT_FDCWD, path, KEYFILE_MAX, &text, diag);
    if (rc < 0)
        return rc;
    rc = pbr_keyfile_parse(&file, &cli->env, pbr_buf_span(&text), diag);
    pbr_wipe(text.ptr, text.len);
    pbr_buf_release(&text);
    if (rc == PBR_OK) {
        rc = unlock(cli, &file, ret, diag);
        pbr_keyfile_release(&file);
    }
    if (rc < 0)
        pbr_diag_context(diag, "key file %s", path);
    return rc;
}

/* ~/.config/proxmox-backup/encryption-key.json, if it is there (API-044). */
static bool default_key(char *out, size_t cap)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    const int n = config && config[0] ? snprintf(out, cap, "%s/proxmox-backup/encryption-key.json", config)
                  : home && home[0]   ? snprintf(out, cap, "%s/.config/proxmox-backup/encryption-key.json", home)
                                      : -1;
    return n > 0 && (size_t)n < cap && access(out, F_OK) == 0;
}

int pbr_key_load(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_crypt *ret, bool *ret_has,
                 struct pbr_diag *diag)
{
    char path[4096];
    char fingerprint[96];
    const char *file = pbr_args_text(args, "keyfile");
    *ret_has = false;
    if (file && pbr_args_has(args, "keyfd"))
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "--keyfile and --keyfd are mutually exclusive");
    if (pbr_args_has(args, "keyfd")) {
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%u", (unsigned)pbr_args_number(args, "keyfd", 0));
        pbr_log(&cli->env, PBR_LOG_INFO, "Using encryption key from file descriptor..");
    } else if (file) {
        (void)snprintf(path, sizeof(path), "%s", file);
        pbr_log(&cli->env, PBR_LOG_INFO, "Using encryption key from '%s'..", file);
    } else if (default_key(path, sizeof(path))) {
        pbr_log(&cli->env, PBR_LOG_INFO, "Using default encryption key..");
    } else {
        return PBR_OK;
    }
    const int rc = load_key(cli, path, ret, diag);
    if (rc < 0)
        return rc;
    pbr_fingerprint_format(ret->fingerprint, fingerprint);
    pbr_log(&cli->env, PBR_LOG_INFO, "Encryption key fingerprint: %.23s", fingerprint);
    *ret_has = true;
    return PBR_OK;
}
