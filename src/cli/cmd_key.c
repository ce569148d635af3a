/* SPDX-License-Identifier: MIT */
/* pbsref key create|show|change-passphrase [CRY-020 .. CRY-034, CRY-065, CRY-070 .. CRY-072] */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cache.h"
#include "cli/cli.h"
#include "cli/secret.h"
#include "format/keyfile.h"
#include "format/quote.h"
#include "sys/env.h"
#include "sys/fd.h"

enum { HINT_MAX = 64 };

const struct pbr_opt pbr_opts_key_new[] = {
    { .name = "kdf", .type = PBR_OPT_CHOICE, .value = "KDF",
      .help = "how the passphrase locks the key: scrypt, pbkdf2, or none for a key in clear (default scrypt)",
      .choices = (const char *const[]){ "none", "scrypt", "pbkdf2", NULL } },
    { .name = "hint", .type = PBR_OPT_TEXT, .value = "TEXT", .help = "shown when the passphrase is wrong; 1 to 64 characters, in clear" },
    { 0 },
};

/* ---- what both writing commands take ---- */

/* 1 to 64 characters, none of them a control character (CRY-025); none without a passphrase (CRY-070). */
static int check_hint(const char *hint, enum pbr_kdf kdf, struct pbr_diag *diag)
{
    size_t chars = 0;
    if (!hint)
        return PBR_OK;
    if (kdf == PBR_KDF_NONE)
        return pbr_fail_at(diag, PBR_E_ARG, "CRY-070", "--hint needs a passphrase to hint at: not with --kdf none");
    for (const char *c = hint; *c; c++) {
        const unsigned char byte = (unsigned char)*c;
        if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && (unsigned char)c[1] >= 0x80 && (unsigned char)c[1] < 0xa0))
            return pbr_fail_at(diag, PBR_E_ARG, "CRY-025", "parameter verification failed - 'hint': control characters are not allowed");
        chars += (byte & 0xc0) != 0x80;
    }
    if (chars < 1 || chars > HINT_MAX)
        return pbr_fail_at(diag, PBR_E_ARG, "CRY-025", "parameter verification failed - 'hint': 1 to %d characters", (int)HINT_MAX);
    return PBR_OK;
}

static int take_kdf(const struct pbr_args *args, enum pbr_kdf *ret, struct pbr_diag *diag)
{
    const char *text = pbr_args_text(args, "kdf");
    *ret = PBR_KDF_SCRYPT;
    if (text && !pbr_kdf_parse(pbr_span_str(text), ret))
        return pbr_fail_at(diag, PBR_E_ARG, "CRY-021", "unknown key derivation '%s'", text);
    return check_hint(pbr_args_text(args, "hint"), *ret, diag);
}

/* PATH, else the default key file: the one that is there, or with `make` where it is made. */
static int take_path(const struct pbr_args *args, bool make, char *out, size_t cap, struct pbr_diag *diag)
{
    const char *text = pbr_args_text(args, "path");
    const int n = text ? snprintf(out, cap, "%s", text) : 0;
    if (text && n > 0 && (size_t)n < cap)
        return PBR_OK;
    if (text)
        return pbr_fail_at(diag, PBR_E_ARG, NULL, "unusable path of a key file");
    if (make ? pbr_key_default_place(out, cap) : pbr_key_find_default(out, cap))
        return PBR_OK;
    return make ? pbr_fail_at(diag, PBR_E_ARG, "CRY-051", "no place for a default key: neither HOME nor XDG_CONFIG_HOME is set")
                : pbr_fail_at(diag, PBR_E_NOENT, "CRY-051", "there is no default key file; give the path of one");
}

static struct pbr_zone_time local_now(const struct pbr_cli *cli)
{
    const int64_t now = cli->env.now_s(cli->env.ctx);
    return (struct pbr_zone_time){ .time_s = now, .offset_min = pbr_sys_utc_offset_min(now) };
}

/* The file appears whole, with mode 0600, under its name: as a new one, or instead of the old one. */
static int publish(struct pbr_cli *cli, const struct pbr_keyfile *file, const char *path, bool replace,
                   struct pbr_diag *diag)
{
    struct pbr_publish out;
    struct pbr_buf text;
    pbr_buf_init(&text, &cli->env, PBR_SECRET_MAX);
    int rc = pbr_keyfile_emit(file, &text);
    if (rc < 0) {
        (void)pbr_fail_at(diag, rc, NULL, "cannot write key file %s", path);
        goto out;
    }
    rc = pbr_publish_open(&out, &cli->env, AT_FDCWD, path, 0600, diag);
    if (rc < 0)
        goto out;
    pbr_interrupt_removes(out.tmp_name);
    rc = pbr_write_all(out.fd, pbr_buf_span(&text), path, diag);
    pbr_interrupt_removes(NULL);
    if (rc == PBR_OK)
        rc = pbr_publish_commit(&out, replace, diag);
    pbr_publish_abort(&out);
out:
    pbr_wipe(text.ptr, text.cap);
    pbr_buf_release(&text);
    return rc;
}

/* Asks for a passphrase if the kdf wants one, and writes `key` locked with it. */
static int write_key(struct pbr_cli *cli, const struct pbr_args *args, const uint8_t key[PBR_KEY_LEN],
                     const struct pbr_zone_time *created, const char *path, bool replace, struct pbr_diag *diag)
{
    struct pbr_secret password = { 0 };
    struct pbr_keyfile file;
    struct pbr_keyfile_opts opts = { .modified = local_now(cli), .hint = pbr_args_text(args, "hint") };
    opts.created = created ? *created : opts.modified;
    int rc = take_kdf(args, &opts.kdf, diag);
    if (rc == PBR_OK && opts.kdf != PBR_KDF_NONE)
        rc = pbr_ask_new_passphrase(cli, &password, diag);
    if (rc < 0)
        return rc;
    opts.password = pbr_span(password.ptr, password.len);
    rc = pbr_keyfile_make(&file, &cli->env, key, &opts, diag);
    pbr_secret_release(&password);
    if (rc < 0)
        return rc;
    rc = publish(cli, &file, path, replace, diag);
    pbr_keyfile_release(&file);
    return rc;
}

/* ---- create ---- */

static int refuse_existing(const char *path, struct pbr_diag *diag)
{
    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return pbr_fail_at(diag, PBR_E_EXIST, "CRY-070", "key file '%s' exists already; keys are never overwritten", path);
    return PBR_OK;
}

/* The directory of the default key file is made with the file. */
static void make_default_place(const char *path)
{
    char buf[4096];
    const char *config = pbr_config_dir(buf);
    if (!config)
        return;
    (void)mkdir(config, 0700); /* exists mostly */
    pbr_make_parents(path, config);
}

int pbr_cmd_key_create(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    char path[4096];
    uint8_t key[PBR_KEY_LEN];
    enum pbr_kdf kdf;
    int rc = take_kdf(args, &kdf, diag);
    if (rc == PBR_OK)
        rc = take_path(args, true, path, sizeof(path), diag);
    if (rc == PBR_OK)
        rc = refuse_existing(path, diag);
    if (rc < 0)
        return rc;
    if (!pbr_args_has(args, "path")) {
        pbr_log(&cli->env, PBR_LOG_INFO, "The new key goes to the default place '%s'", path);
        make_default_place(path);
    }
    rc = cli->env.random(cli->env.ctx, key, sizeof(key));
    if (rc < 0)
        (void)pbr_fail_at(diag, rc, NULL, "no random numbers for a key");
    else
        rc = write_key(cli, args, key, NULL, path, false, diag);
    pbr_wipe(key, sizeof(key));
    return rc;
}

/* ---- change-passphrase ---- */

int pbr_cmd_key_change_passphrase(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    char path[4096];
    uint8_t key[PBR_KEY_LEN];
    struct pbr_keyfile old;
    enum pbr_kdf kdf;
    int rc = take_kdf(args, &kdf, diag);
    if (rc == PBR_OK)
        rc = take_path(args, false, path, sizeof(path), diag);
    if (rc == PBR_OK && !pbr_can_ask())
        rc = pbr_fail_at(diag, PBR_E_STATE, "CRY-071", "the passphrase of a key is only changed on a terminal");
    if (rc == PBR_OK)
        rc = pbr_keyfile_load(cli, path, &old, diag);
    if (rc < 0)
        return rc;
    rc = pbr_keyfile_open(cli, &old, key, diag);
    if (rc < 0)
        pbr_diag_context(diag, "key file %s", path);
    else
        rc = write_key(cli, args, key, &old.created, path, true, diag);
    pbr_wipe(key, sizeof(key));
    pbr_keyfile_release(&old);
    return rc;
}

/* ---- show ---- */

static int show_json(struct pbr_cli *cli, const struct pbr_keyfile *file, const char *path, enum pbr_format format,
                     struct pbr_diag *diag)
{
    struct pbr_buf quoted; /* the path in quotes of its own, as the original prints it (CRY-072) */
    char fingerprint[PBR_FINGERPRINT_TEXT + 1];
    pbr_buf_init(&quoted, &cli->env, PBR_SECRET_MAX);
    json_t *o = pbr_quote(pbr_span_str(path), &quoted) == PBR_OK
                    ? json_pack("{s:s, s:s, s:I, s:I}", "path", pbr_buf_cstr(&quoted), "kdf", pbr_kdf_name(file->kdf),
                                "created", (json_int_t)file->created.time_s, "modified", (json_int_t)file->modified.time_s)
                    : NULL;
    pbr_buf_release(&quoted);
    pbr_fingerprint_format(file->fingerprint, fingerprint);
    if (o && file->has_fingerprint)
        (void)json_object_set_new(o, "fingerprint", json_string(fingerprint));
    if (o && file->hint)
        (void)json_object_set_new(o, "hint", json_string(file->hint));
    const int rc = o ? pbr_print_json(o, format, diag)
                     : pbr_fail_at(diag, PBR_E_ARG, NULL, "path '%s' cannot be shown as JSON", path);
    json_decref(o);
    return rc;
}

static int show_text(struct pbr_cli *cli, const struct pbr_keyfile *file, const char *path, struct pbr_diag *diag)
{
    static const struct pbr_table_column columns[] = { { "name", false }, { "value", false } };
    char created[PBR_ZONE_TIME_TEXT + 1] = "", modified[PBR_ZONE_TIME_TEXT + 1] = "";
    char fingerprint[PBR_FINGERPRINT_TEXT + 1];
    struct pbr_table *t;
    const bool dated = pbr_time_format_zone(&file->created, created) && pbr_time_format_zone(&file->modified, modified);
    pbr_fingerprint_format(file->fingerprint, fingerprint);
    const char *const rows[][2] = {
        { "path", path },
        { "kdf", pbr_kdf_name(file->kdf) },
        { "created", dated ? created : NULL },
        { "modified", dated ? modified : NULL },
        { "fingerprint", file->has_fingerprint ? fingerprint : NULL },
        { "hint", file->hint },
    };
    int rc = pbr_table_new(&cli->env, columns, 2, &t);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && rc == PBR_OK; i++)
        rc = rows[i][1] ? pbr_table_row(t, rows[i]) : PBR_OK;
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for the output");
    pbr_table_print(t);
    pbr_table_free(t);
    return PBR_OK;
}

int pbr_cmd_key_show(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    char path[4096];
    struct pbr_keyfile file;
    const enum pbr_format format = pbr_output_format(args);
    int rc = take_path(args, false, path, sizeof(path), diag);
    if (rc == PBR_OK)
        rc = pbr_keyfile_load(cli, path, &file, diag);
    if (rc < 0)
        return rc;
    rc = format == PBR_FORMAT_TEXT ? show_text(cli, &file, path, diag) : show_json(cli, &file, path, format, diag);
    pbr_keyfile_release(&file);
    return rc;
}
