/* SPDX-License-Identifier: MIT */
/* A backup run from the check of its sources to finish; see backup.h. */
#include "client/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "client/backup_int.h"
#include "client/human.h"
#include "sys/env.h"
#include "sys/fd.h"

/* ---- specifications ---- */

int pbr_backup_spec_parse(const char *text, struct pbr_backup_spec *ret, struct pbr_diag *diag)
{
    static const char *const types[] = { "pxar", "img", "conf", "log" };
    struct pbr_backup_spec spec = { 0 };
    const char *colon = strchr(text, ':');
    const char *dot = colon ? memchr(text, '.', (size_t)(colon - text)) : NULL;
    const size_t base_len = dot ? (size_t)(dot - text) : 0;
    int type = -1;
    for (int i = 0; dot && i < 4; i++)
        if (pbr_span_eq_str(pbr_span(dot + 1, (size_t)(colon - dot) - 1), types[i]))
            type = i;
    bool ok = type >= 0 && base_len > 0 && base_len < sizeof(spec.base) - 8 && colon[1];
    for (size_t i = 0; ok && i < base_len; i++) {
        const char c = text[i];
        ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
    }
    if (!ok)
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-030",
                           "'%s' is not a backup source (NAME.pxar:DIRECTORY, NAME.img:FILE, NAME.conf:FILE or "
                           "NAME.log:FILE; NAME of letters, digits, _ and -)",
                           text);
    spec.type = (enum pbr_spec_type)type;
    spec.path = colon + 1;
    (void)snprintf(spec.base, sizeof(spec.base), "%.*s", (int)base_len, text);
    (void)snprintf(spec.target, sizeof(spec.target), "%.*s", (int)(colon - text), text);
    *ret = spec;
    return PBR_OK;
}

/* ---- sources ---- */

struct opened {
    int fd;
    uint64_t size; /* images; UINT64_MAX = a pipe of unknown size (CHK-056) */
};

static int check_image(const struct pbr_backup_spec *spec, const struct stat *st, struct opened *o,
                       struct pbr_diag *diag)
{
    if (S_ISFIFO(st->st_mode)) {
        o->size = UINT64_MAX;
        return PBR_OK;
    }
    if (S_ISBLK(st->st_mode)) {
        if (ioctl(o->fd, BLKGETSIZE64, &o->size) != 0)
            return pbr_fail_os(diag, errno, "unable to get the size of '%s'", spec->path);
    } else if (S_ISREG(st->st_mode)) {
        o->size = (uint64_t)st->st_size;
    } else {
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-032",
                           "got unexpected file type (expected file, block device, or fifo): %s", spec->path);
    }
    if (o->size == 0)
        return pbr_fail_at(diag, PBR_E_ARG, "CHK-056", "got zero-sized file '%s'", spec->path);
    return PBR_OK;
}

static int open_source(const struct pbr_backup_spec *spec, struct opened *o, struct pbr_diag *diag)
{
    struct stat st;
    o->fd = pbr_openat(AT_FDCWD, spec->path, O_RDONLY | O_NOCTTY | (spec->type == PBR_SPEC_PXAR ? O_DIRECTORY : 0), 0);
    if (o->fd < 0 && errno == ENOTDIR && spec->type == PBR_SPEC_PXAR && access(spec->path, F_OK) == 0)
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-032", "%s: got unexpected file type (expected directory)", spec->path);
    if (o->fd < 0 || fstat(o->fd, &st) != 0) {
        const int rc = pbr_fail_os(diag, errno, "unable to access '%s'", spec->path);
        if (strcmp(spec->path, "-") == 0)
            pbr_diag_context(diag, "If you are trying to read from stdin use '/dev/stdin' instead of '-'");
        return rc;
    }
    if (spec->type == PBR_SPEC_IMG)
        return check_image(spec, &st, o, diag);
    if (spec->type != PBR_SPEC_PXAR && !S_ISREG(st.st_mode))
        return pbr_fail_at(diag, PBR_E_ARG, "CLI-032", "%s: got unexpected file type (expected regular file)", spec->path);
    return PBR_OK;
}

static int open_sources(const struct pbr_backup_spec *specs, size_t n, struct opened *o, struct pbr_diag *diag)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            if (strcmp(specs[i].target, specs[k].target) == 0)
                return pbr_fail_at(diag, PBR_E_ARG, "CLI-032", "got target twice: '%s'", specs[i].target);
        const int rc = open_source(&specs[i], &o[i], diag);
        if (rc < 0)
            return rc;
    }
    return n ? PBR_OK : pbr_fail_at(diag, PBR_E_ARG, "CLI-030", "nothing to back up: no source given");
}

/* ---- images and files ---- */

int pbr_backup_image(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, int fd, uint64_t size,
                     struct pbr_diag *diag)
{
    enum { READ_STEP = 4 << 20 };
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    struct pbr_backup_stream image = { 0 };
    const struct pbr_chunk_stream_opts opts = { .fixed = true };
    (void)snprintf(name, sizeof(name), "%s.fidx", spec->target);
    pbr_log(run->env, PBR_LOG_INFO, "Upload image '%s' to '%s' as %s", spec->path, run->repo, name);
    run->progress.total = size == UINT64_MAX ? 0 : size;
    int rc = pbr_backup_stream_open(run, &image, name, &opts, size, true, diag);
    uint64_t left = size;
    while (rc == PBR_OK && left > 0) {
        uint8_t *room;
        size_t len;
        rc = image.sink.reserve(image.sink.ctx, left < READ_STEP ? (size_t)left : READ_STEP, &room, &len, diag);
        if (rc < 0)
            break;
        const ssize_t n = pbr_read_some(fd, room, len);
        if (n < 0)
            rc = pbr_fail_os(diag, errno, "cannot read %s", spec->path);
        if (n <= 0)
            break;
        rc = image.sink.commit(image.sink.ctx, (size_t)n, diag);
        if (size != UINT64_MAX)
            left -= (uint64_t)n;
    }
    if (rc == PBR_OK && size != UINT64_MAX && left > 0)
        rc = pbr_fail_at(diag, PBR_E_IO, NULL, "%s shrank while it was read: %" PRIu64 " bytes are missing", spec->path, left);
    if (rc == PBR_OK)
        rc = pbr_backup_stream_finish(&image, NULL, diag);
    pbr_backup_stream_release(&image);
    run->progress.total = 0;
    return rc;
}

static int backup_file(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, int fd, struct pbr_diag *diag)
{
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    char proc[64];
    struct pbr_buf content;
    (void)snprintf(name, sizeof(name), "%s.blob", spec->target);
    (void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
    pbr_log(run->env, PBR_LOG_INFO, "Upload %s '%s' to '%s' as %s", spec->type == PBR_SPEC_CONF ? "config file" : "log file",
            spec->path, run->repo, name);
    int rc = pbr_load_file(run->env, AT_FDCWD, proc, PBR_BLOB_PLAIN_MAX, &content, diag);
    if (rc < 0) {
        pbr_diag_context(diag, "%s", spec->path);
        return rc;
    }
    rc = pbr_backup_blob(run, name, true, run->opts->crypt_mode == PBR_CRYPT_ENCRYPT, pbr_buf_span(&content), diag);
    pbr_buf_release(&content);
    return rc;
}

static int backup_one(struct pbr_backup_run *run, const struct pbr_backup_spec *spec, const struct opened *o,
                      struct pbr_diag *diag)
{
    switch (spec->type) {
    case PBR_SPEC_PXAR:
        return pbr_backup_pxar(run, spec, o->fd, diag);
    case PBR_SPEC_IMG:
        return pbr_backup_image(run, spec, o->fd, o->size, diag);
    case PBR_SPEC_CONF:
    case PBR_SPEC_LOG:
        break;
    }
    return backup_file(run, spec, o->fd, diag);
}

/* ---- the run ---- */

static void log_start(const struct pbr_backup_run *run)
{
    const struct pbr_backup_opts *o = run->opts;
    char snapshot[320], now[64], fingerprint[PBR_FINGERPRINT_TEXT + 1];
    pbr_snapshot_format(&o->snapshot, snapshot, sizeof(snapshot));
    if (o->ns && o->ns[0])
        pbr_log(run->env, PBR_LOG_INFO, "Starting backup: [%s]:%s", o->ns, snapshot);
    else
        pbr_log(run->env, PBR_LOG_INFO, "Starting backup: %s", snapshot);
    pbr_log(run->env, PBR_LOG_INFO, "Client name: %s", o->client_name ? o->client_name : "localhost");
    pbr_sys_format_local(run->env->now_s(run->env->ctx), PBR_TIME_C, now);
    pbr_log(run->env, PBR_LOG_INFO, "Starting backup protocol: %s", now);
    if (o->profile != PBR_PROFILE_RELEASED) /* [APX-173, SYS-071] */
        pbr_log(run->env, PBR_LOG_WARN, "format profile '%s' is a draft that was never released: released software cannot read it",
                pbr_profile_name(o->profile));
    if (o->crypt && o->crypt_source) {
        pbr_fingerprint_format(o->crypt->fingerprint, fingerprint);
        pbr_log(run->env, PBR_LOG_INFO, "%s", o->crypt_source);
        pbr_log(run->env, PBR_LOG_INFO, "Encryption key fingerprint: %.*s", PBR_FINGERPRINT_SHORT, fingerprint);
    }
}

/* The previous manifest makes a backup incremental; without it everything is sent (BKP-220). */
static void load_previous_manifest(struct pbr_backup_run *run)
{
    struct pbr_diag diag = { 0 };
    char line[PBR_DIAG_TEXT_MAX + 64], when[64];
    json_t *time = NULL;
    const struct pbr_span none = { 0 };
    if (pbr_link_call_json(run->link, "GET", "/previous_backup_time", NULL, none, &time, &diag) == PBR_OK &&
        !json_is_integer(time)) {
        pbr_log(run->env, PBR_LOG_INFO, "No previous manifest available.");
        json_decref(time);
        return;
    }
    if (json_is_integer(time)) { /* an error answer means an old server: try all the same (BKP-087) */
        pbr_sys_format_local(json_integer_value(time), PBR_TIME_C, when);
        pbr_log(run->env, PBR_LOG_INFO, "Downloading previous manifest (%s)", when);
    }
    json_decref(time);
    pbr_diag_clear(&diag);
    if (pbr_session_manifest(run->env, run->link, PBR_FETCH_PREVIOUS, run->opts->crypt, &run->previous, NULL, &diag) < 0) {
        pbr_diag_format(&diag, line, sizeof(line));
        pbr_log(run->env, PBR_LOG_WARN,
                diag.code == PBR_E_CRYPTO ? "Couldn't re-use previous manifest - %s"
                                          : "Couldn't download previous manifest - %s",
                line);
        return;
    }
    run->has_previous = true;
}

static int upload_manifest(struct pbr_backup_run *run, struct pbr_diag *diag)
{
    struct pbr_buf text;
    int rc = PBR_OK;
    if (run->opts->crypt) /* encrypt and sign-only (MAN-047) */
        rc = pbr_manifest_sign(&run->manifest, run->opts->crypt->id_key, run->opts->crypt->fingerprint);
    pbr_buf_init(&text, run->env, PBR_BLOB_PLAIN_MAX);
    if (rc == PBR_OK)
        rc = pbr_manifest_emit(&run->manifest, &text);
    if (rc < 0)
        (void)pbr_fail_at(diag, rc, NULL, "cannot write the manifest");
    else
        rc = pbr_backup_blob(run, "index.json.blob", false, false, pbr_buf_span(&text), diag);
    pbr_buf_release(&text);
    return rc;
}

static int run_session(struct pbr_backup_run *run, const struct pbr_backup_spec *specs, size_t n,
                       const struct opened *opened, struct pbr_diag *diag)
{
    const struct pbr_pipeline_opts pipeline = { .crypt = run->opts->crypt_mode == PBR_CRYPT_ENCRYPT ? run->opts->crypt
                                                                                                    : NULL,
                                                .workers = run->opts->workers };
    int rc = pbr_pipeline_new(run->env, run->link, &pipeline, &run->pipeline, diag);
    for (size_t i = 0; i < n && rc == PBR_OK; i++)
        rc = backup_one(run, &specs[i], &opened[i], diag);
    if (rc == PBR_OK)
        rc = pbr_backup_catalog_finish(run, diag);
    if (rc == PBR_OK)
        rc = upload_manifest(run, diag);
    if (rc == PBR_OK) {
        rc = pbr_link_call_json(run->link, "POST", "/finish", NULL, pbr_span(NULL, 0), NULL, diag);
        if (rc < 0)
            pbr_diag_context(diag, "finish");
    }
    return rc;
}

static void log_dry_run(const struct pbr_backup_run *run, const struct pbr_backup_spec *specs, size_t n)
{
    static const char *const kinds[] = { "directory", "image", "config file", "log file" };
    static const char *const extensions[] = { "didx", "fidx", "blob", "blob" };
    for (size_t i = 0; i < n; i++)
        pbr_log(run->env, PBR_LOG_INFO, "Would upload %s '%s' to '%s' as %s.%s", kinds[specs[i].type], specs[i].path,
                run->repo, specs[i].target, extensions[specs[i].type]);
    pbr_log(run->env, PBR_LOG_INFO, "dry-run: no upload happened");
}

static void log_end(struct pbr_backup_run *run, uint64_t begin_ns)
{
    char now[64];
    run->result.duration_ns = run->env->mono_ns(run->env->ctx) - begin_ns;
    pbr_log(run->env, PBR_LOG_INFO, "Duration: %.2fs", (double)run->result.duration_ns / 1e9);
    pbr_sys_format_local(run->env->now_s(run->env->ctx), PBR_TIME_C, now);
    pbr_log(run->env, PBR_LOG_INFO, "End Time: %s", now);
}

/* Order matters: workers stop, then the connection (calls back what is outstanding), then their memory. */
static void release_run(struct pbr_backup_run *run)
{
    pbr_pipeline_stop(run->pipeline);
    pbr_link_free(run->link);
    pbr_backup_catalog_free(run);
    pbr_backup_appendix_release(run);
    pbr_pipeline_free(run->pipeline);
    if (run->has_previous)
        pbr_manifest_release(&run->previous);
    pbr_manifest_release(&run->manifest);
}

void pbr_backup_result_release(struct pbr_backup_result *r)
{
    if (r->env)
        pbr_free(r->env, r->archives);
    *r = (struct pbr_backup_result){ 0 };
}

static int backup_opened(struct pbr_backup_run *run, const struct pbr_backup_spec *specs, size_t n,
                         const struct opened *opened, struct pbr_diag *diag)
{
    const uint64_t begin_ns = run->env->mono_ns(run->env->ctx);
    int rc = pbr_manifest_init(&run->manifest, run->env, &run->opts->snapshot);
    if (rc < 0)
        return pbr_fail_at(diag, rc, NULL, "no memory for a manifest");
    log_start(run);
    pbr_backup_appendix_look(run);
    rc = pbr_session_open_backup(run->client, run->opts->ns, &run->opts->snapshot, run->opts->no_cache, &run->link, diag);
    if (rc == PBR_OK) {
        load_previous_manifest(run);
        if (run->opts->dry_run)
            log_dry_run(run, specs, n);
        else
            rc = run_session(run, specs, n, opened, diag);
    }
    if (rc == PBR_OK)
        log_end(run, begin_ns);
    release_run(run);
    return rc;
}

int pbr_backup(const struct pbr_env *env, struct pbr_client *client, const struct pbr_backup_spec *specs,
               size_t spec_nr, const struct pbr_backup_opts *opts, struct pbr_backup_result *ret,
               struct pbr_diag *diag)
{
    struct pbr_backup_run *run = pbr_alloc(env, 1, sizeof(*run));
    struct opened *opened = pbr_alloc(env, spec_nr, sizeof(*opened));
    int rc = PBR_E_NOMEM;
    if (!run || !opened) {
        (void)pbr_fail_at(diag, rc, NULL, "no memory for a backup");
        goto out;
    }
    for (size_t i = 0; i < spec_nr; i++)
        opened[i].fd = -1;
    run->env = env;
    run->client = client;
    run->opts = opts;
    run->result.env = env;
    pbr_repo_format(pbr_client_repo(client), run->repo, sizeof(run->repo));
    rc = open_sources(specs, spec_nr, opened, diag);
    if (rc == PBR_OK)
        rc = backup_opened(run, specs, spec_nr, opened, diag);
    if (rc == PBR_OK)
        *ret = run->result;
    else
        pbr_backup_result_release(&run->result);
out:
    for (size_t i = 0; opened && i < spec_nr; i++)
        pbr_close(&opened[i].fd);
    pbr_free(env, opened);
    pbr_free(env, run);
    return rc;
}
