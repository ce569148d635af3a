/* SPDX-License-Identifier: MIT */
/* The reference of a split archive in metadata mode out of the previous snapshot: a second session reads the metadata archive, the
 * payload index comes through the backup session, so that the server knows its chunks [CDM-025 .. CDM-036, BKP-226, BKP-227,
 * BKP-230]. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "client/backup_int.h"

enum {
    LOW_LIMIT = 4096,       /* open files; below, re-use suffers [CDM-082] */
    WAITING_MAX = 1 << 16,  /* entries that wait, whatever the limit of open files is: bounds memory */
};

uint64_t pbr_backup_raise_open_files(const struct pbr_env *env)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max == 0)
        return PBR_REUSE_CACHE_DEFAULT;
    const uint64_t soft = limit.rlim_cur < limit.rlim_max ? limit.rlim_cur : limit.rlim_max;
    const uint64_t hard = limit.rlim_max;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        pbr_log(env, PBR_LOG_DEBUG, "cannot raise the limit of open files: %s", strerror(errno));
        return soft / 2 > 0 ? soft / 2 : 1;
    }
    if (hard <= LOW_LIMIT)
        pbr_log(env, PBR_LOG_WARN, "resource limit for open file handles low: %" PRIu64, hard);
    const uint64_t room = hard - soft / 2;
    return room < WAITING_MAX ? room : WAITING_MAX;
}

/* Any failure ends the backup [CDM-025, BKP-230]. *ret_has false: the server knows no previous snapshot after all. */
static int open_reader(struct pbr_backup_run *run, struct pbr_link **ret, bool *ret_has, struct pbr_diag *diag)
{
    json_t *time = NULL;
    struct pbr_snapshot previous = { .group = run->opts->snapshot.group };
    int rc = pbr_link_call_json(run->link, "GET", "/previous_backup_time", NULL, pbr_span(NULL, 0), &time, diag);
    if (rc < 0)
        return rc;
    *ret_has = json_is_integer(time);
    previous.time_s = json_integer_value(time);
    json_decref(time);
    return *ret_has ? pbr_session_open_reader(run->client, run->opts->ns, &previous, ret, diag) : PBR_OK;
}

/* *ret false, with its line in the log: this archive has nothing that can serve as a reference. */
static bool is_usable(struct pbr_backup_run *run, struct pbr_backup_reference *r, const char *meta_name,
                      const char *payload_name)
{
    struct pbr_diag why = { 0 };
    if (!pbr_manifest_find(&run->previous, meta_name)) /* [CDM-026] */
        return false;
    if (pbr_session_index(r->reader, PBR_FETCH_READER, &run->previous, meta_name, &r->meta, &why) < 0) {
        pbr_log_failure(run->env, PBR_LOG_DEBUG, &why, "%s", meta_name);
        pbr_log(run->env, PBR_LOG_INFO, "No previous metadata index, continue without reference"); /* [CDM-027] */
        return false;
    }
    const struct pbr_manifest_file *payload = pbr_manifest_find(&run->previous, payload_name);
    if (!payload)
        pbr_log(run->env, PBR_LOG_INFO, "No previous payload index found in manifest, continue without reference");
    else if (payload->crypt_mode != run->opts->crypt_mode) /* [CDM-029] */
        pbr_log(run->env, PBR_LOG_INFO, "Crypt mode mismatch, continue without reference");
    return payload && payload->crypt_mode == run->opts->crypt_mode;
}

/* Chunks that a server never made would only be noticed when they are injected: look at them before. */
static int check_strictly(const struct pbr_fetched_index *ix, const char *name, struct pbr_diag *diag)
{
    struct pbr_index again;
    const int rc = pbr_index_parse(pbr_buf_span(&ix->file), true, &again, diag);
    if (rc < 0)
        pbr_diag_context(diag, "previous index '%s'", name);
    return rc;
}

/* Names in the previous snapshot: the draft knows two for the payload archive [SPL-014]. */
static bool take_names(const struct pbr_backup_run *run, const char *base, struct pbr_split_names *ret)
{
    if (!pbr_split_names(run->opts->profile, base, false, ret))
        return false;
    if (run->opts->profile == PBR_PROFILE_DRAFT_SPLIT && !pbr_manifest_find(&run->previous, ret->payload))
        return pbr_split_names(run->opts->profile, base, true, ret);
    return true;
}

int pbr_backup_reference_open(struct pbr_backup_run *run, const char *base, enum pbr_change_mode mode,
                              struct pbr_backup_reference *ret, struct pbr_diag *diag)
{
    struct pbr_split_names names;
    const struct pbr_fetch_opts fetch = { .crypt = run->opts->crypt };
    bool has_reader;
    *ret = (struct pbr_backup_reference){ 0 };
    if (mode != PBR_MODE_METADATA || !run->has_previous || !take_names(run, base, &names)) /* [CDM-024] */
        return PBR_OK;
    const uint64_t cache_max = pbr_backup_raise_open_files(run->env);
    int rc = open_reader(run, &ret->reader, &has_reader, diag);
    if (rc < 0)
        return rc;
    if (!has_reader || !is_usable(run, ret, names.meta, names.payload)) {
        pbr_backup_reference_close(ret); /* the session ends at once [BKP-230] */
        return PBR_OK;
    }
    rc = pbr_session_index(run->link, PBR_FETCH_PREVIOUS, &run->previous, names.payload, &ret->payload, diag);
    if (rc == PBR_OK)
        rc = check_strictly(&ret->payload, names.payload, diag);
    if (rc < 0)
        return rc; /* [CDM-030] */
    pbr_log(run->env, PBR_LOG_INFO, "Using previous index as metadata reference for '%s'", names.meta);
    rc = pbr_fetch_source(run->env, ret->reader, &ret->meta, &fetch, &ret->source, diag);
    if (rc < 0)
        return rc;
    ret->has_source = true;
    rc = pbr_reference_new(run->env, &ret->source, &ret->payload.index, cache_max, &ret->ref, diag);
    if (rc == PBR_OK && run->opts->profile == PBR_PROFILE_DRAFT_SPLIT)
        pbr_reference_set_first(ret->ref, 0); /* no start marker [SPL-025] */
    return rc;
}

void pbr_backup_reference_close(struct pbr_backup_reference *r)
{
    pbr_reference_free(r->ref);
    if (r->has_source)
        pbr_source_close(&r->source);
    pbr_fetched_index_release(&r->meta);
    pbr_fetched_index_release(&r->payload);
    pbr_link_free(r->reader);
    *r = (struct pbr_backup_reference){ 0 };
}
