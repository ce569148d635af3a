/* SPDX-License-Identifier: MIT */
/* pbsref blob encode: a file as a data blob. `pbsref inspect --output` is the way back. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/cli.h"
#include "sys/fd.h"

const struct pbr_opt pbr_opts_blob_encode[] = {
    { .name = "compress", .type = PBR_OPT_BOOL, .help = "compress where that makes it shorter" },
    { 0 },
};

static int seal(struct pbr_cli *cli, const struct pbr_args *args, const struct pbr_crypt *crypt, struct pbr_span plain,
                struct pbr_buf *out, struct pbr_diag *diag)
{
    struct pbr_sealer *sealer;
    if (pbr_sealer_new(&cli->env, &sealer) < 0)
        return pbr_fail_at(diag, PBR_E_NOMEM, NULL, "no memory to make a blob");
    const int rc = pbr_seal(sealer, crypt, pbr_args_bool(args, "compress"), plain, out, diag);
    pbr_sealer_free(sealer);
    return rc;
}

static int write_new(const char *path, struct pbr_span bytes, struct pbr_diag *diag)
{
    int fd = pbr_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0640);
    if (fd < 0)
        return pbr_fail_os(diag, errno, "cannot create %s", path);
    const int rc = pbr_write_all(fd, bytes, path, diag);
    pbr_close(&fd);
    if (rc < 0)
        (void)unlink(path);
    return rc;
}

int pbr_cmd_blob_encode(struct pbr_cli *cli, const struct pbr_args *args, struct pbr_diag *diag)
{
    struct pbr_key_choice key;
    struct pbr_buf plain, raw;
    int rc = pbr_key_load(cli, args, &key, diag);
    if (rc == PBR_OK)
        rc = pbr_load_file(&cli->env, AT_FDCWD, pbr_args_text(args, "file"), PBR_BLOB_PLAIN_MAX, &plain, diag);
    if (rc == PBR_OK) {
        pbr_buf_init(&raw, &cli->env, PBR_BLOB_PLAIN_MAX + PBR_BLOB_HDR_MAX);
        rc = seal(cli, args, key.mode == PBR_CRYPT_NONE ? NULL : &key.crypt, pbr_buf_span(&plain), &raw, diag);
        if (rc == PBR_OK)
            rc = write_new(pbr_args_text(args, "blob"), pbr_buf_span(&raw), diag);
        pbr_buf_release(&raw);
        pbr_buf_release(&plain);
    }
    pbr_crypt_wipe(&key.crypt);
    return rc;
}
