/* SPDX-License-Identifier: MIT */
/* The reference of the draft with an appendix: the previous snapshot's catalog, read through a session of its own, and the
 * previous index of the archive, which the backup session makes known to the server [APX-110 .. APX-125]. Whatever is wrong
 * with either means a full backup without a word [APX-119], but for lack of memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/backup_int.h"
#include "client/restore.h"
#include "sys/fd.h"

#define CATALOG "catalog.pcat1.didx"

/* ---- which snapshot [APX-111, APX-122] ---- */

void pbr_backup_appendix_look(struct pbr_backup_run *run)
{
    char group[300];
    struct pbr_diag why = { 0 };
    const struct pbr_backup_opts *o = run->opts;
    if (o->profile != PBR_PROFILE_DRAFT_APPENDIX || o->detection.mode != PBR_MODE_METADATA || o->dry_run)
        return;
    pbr_group_format(&o->snapshot.group, group, sizeof(group));
    run->has_listed = pbr_resolve_snapshot(run->client, o->ns, group, &run->listed, &why) == PBR_OK;
}

/* The session's previous snapshot is the one that was found. */
static bool is_base(struct pbr_backup_run *run)
{
    json_t *time = NULL;
    struct pbr_diag why = { 0 };
    const int rc = pbr_link_call_json(run->link, "GET", "/previous_backup_time", NULL, pbr_span(NULL, 0), &time, &why);
    const bool same = rc == PBR_OK && json_is_integer(time) && json_integer_value(time) == run->listed.time_s;
    json_decref(time);
    return same;
}

/* ---- the catalog, once for all archives [APX-114, APX-115, APX-121] ---- */

/* A file that has no name, so that nothing stays whatever happens. */
static int open_nameless(struct pbr_diag *diag)
{
    char name[] = "/tmp/.pbsref-catalog-XXXXXX";
    int fd = pbr_openat(AT_FDCWD, "/tmp", O_TMPFILE | O_RDWR, 0600);
    if (fd < 0) { /* not every file system has them */
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            (void)unlink(name);
    }
    return fd >= 0 ? fd : pbr_fail_os(diag, errno, "cannot create a temporary file in /tmp");
}

static int copy(struct pbr_stream *in, int fd, struct pbr_diag *diag)
{
    for (;;) {
        struct pbr_span view;
        int rc = pbr_stream_peek(in, &view, diag);
        if (rc < 0 || view.len == 0)
            return rc;
        rc = pbr_write_all(fd, view, "the reference catalog", diag);
        if (rc < 0)
            return rc;
        pbr_stream_consume(in, view.len);
    }
}

static int download(struct pbr_backup_run *run, struct pbr_link *reader, const struct pbr_fetched_index *ix, int fd,
                    struct pbr_diag *diag)
{
    const struct pbr_fetch_opts opts = { .crypt = run->opts->crypt };
    struct pbr_stream stream;
    char path[64];
    int rc = pbr_fetch_stream(run->env, reader, ix, &opts, &stream, diag);
    if (rc < 0)
        return rc;
    rc = copy(&stream, fd, diag);
    pbr_stream_close(&stream);
    if (rc < 0) {
        pbr_diag_context(diag, "failed to download reference catalog");
        return rc;
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return pbr_source_open(run->env, AT_FDCWD, path, &run->old_catalog, diag);
}

static int fetch_catalog(struct pbr_backup_run *run, struct pbr_diag *diag)
{
    struct pbr_link *reader = NULL;
    struct pbr_manifest manifest;
    struct pbr_fetched_index ix;
    int rc = pbr_session_open_reference(run->client, run->opts->ns, &run->listed, &reader, diag);
    if (rc < 0)
        return rc;
    rc = pbr_session_manifest(run->env, reader, PBR_FETCH_READER, run->opts->crypt, &manifest, NULL, diag);
    if (rc == PBR_OK) {
        rc = pbr_session_index(reader, PBR_FETCH_READER, &manifest, CATALOG, &ix, diag);
        if (rc == PBR_OK) {
            int fd = open_nameless(diag);
            rc = fd < 0 ? fd : download(run, reader, &ix, fd, diag);
            pbr_close(&fd);
            pbr_fetched_index_release(&ix);
        }
        pbr_manifest_release(&manifest);
    }
    pbr_link_free(reader);
    return rc;
}

static int need_catalog(struct pbr_backup_run *run, struct pbr_diag *diag)
{
    if (run->old_catalog_state == 0) {
        const int rc = is_base(run) ? fetch_catalog(run, diag)
                                    : pbr_fail_at(diag, PBR_E_NOENT, "APX-122", "the newest snapshot is not the session's base");
        run->old_catalog_state = rc < 0 ? -1 : 1;
        return rc;
    }
    return run->old_catalog_state > 0 ? PBR_OK : pbr_fail_at(diag, PBR_E_NOENT, NULL, "no reference catalog");
}

void pbr_backup_appendix_release(struct pbr_backup_run *run)
{
    if (run->old_catalog_state > 0)
        pbr_source_close(&run->old_catalog);
    run->old_catalog_state = 0;
}

/* ---- one archive ---- */

/* Chunks that no server made would only be noticed when they are injected. */
static int fetch_index(struct pbr_backup_run *run, const char *target, struct pbr_fetched_index *ret, struct pbr_diag *diag)
{
    struct pbr_index again;
    const int rc = pbr_session_index(run->link, PBR_FETCH_PREVIOUS, &run->previous, target, ret, diag); /* [APX-116] */
    return rc < 0 ? rc : pbr_index_parse(pbr_buf_span(&ret->file), true, &again, diag);
}

static int open_parts(struct pbr_backup_run *run, const char *target, struct pbr_backup_appendix *ret, struct pbr_diag *diag)
{
    const struct pbr_catalog_reference_opts opts = { .small = PBR_APPENDIX_SMALL,
                                                     .threshold = run->opts->appendix_threshold,
                                                     .waiting_max = pbr_backup_raise_open_files(run->env) };
    int rc = need_catalog(run, diag);
    if (rc == PBR_OK)
        rc = fetch_index(run, target, &ret->index, diag);
    if (rc == PBR_OK)
        rc = pbr_catalog_reference_new(run->env, &run->old_catalog, target, &ret->index.index, &opts, &ret->ref, diag);
    return rc;
}

int pbr_backup_appendix_open(struct pbr_backup_run *run, const char *target, struct pbr_backup_appendix *ret,
                             struct pbr_diag *diag)
{
    struct pbr_diag why = { 0 };
    *ret = (struct pbr_backup_appendix){ 0 };
    if (!run->has_previous) {
        pbr_log(run->env, PBR_LOG_INFO, "No previous manifest, fallback to regular mode"); /* [APX-113] */
        return PBR_OK;
    }
    const struct pbr_manifest_file *old = pbr_manifest_find(&run->previous, target);
    if (!old || !run->has_listed) /* [APX-120, APX-123] */
        return PBR_OK;
    if (old->crypt_mode != run->opts->crypt_mode) { /* [APX-124] */
        pbr_log(run->env, PBR_LOG_INFO, "Crypt mode mismatch, continue without reference");
        return PBR_OK;
    }
    const int rc = open_parts(run, target, ret, &why);
    if (rc == PBR_OK) {
        pbr_log(run->env, PBR_LOG_INFO, "Using previous catalog as metadata reference for '%s'", target); /* [APX-117] */
        return PBR_OK;
    }
    pbr_backup_appendix_close(ret);
    if (rc == PBR_E_NOMEM && diag && diag->code == PBR_OK)
        *diag = why;
    pbr_log_failure(run->env, PBR_LOG_DEBUG, &why, "no reference for '%s'", target);
    return rc == PBR_E_NOMEM ? rc : PBR_OK;
}

void pbr_backup_appendix_close(struct pbr_backup_appendix *r)
{
    pbr_catalog_reference_free(r->ref);
    pbr_fetched_index_release(&r->index);
    *r = (struct pbr_backup_appendix){ 0 };
}
