/* SPDX-License-Identifier: MIT */
/* Profiles; see profile.h. */
#include "format/profile.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = {
    [PBR_PROFILE_RELEASED] = "released",
    [PBR_PROFILE_DRAFT_SPLIT] = "draft-split",
    [PBR_PROFILE_DRAFT_APPENDIX] = "draft-appendix",
};

const char *pbr_profile_name(enum pbr_profile profile)
{
    return names[profile];
}

bool pbr_profile_parse(struct pbr_span text, enum pbr_profile *ret)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (pbr_span_eq_str(text, names[i])) {
            *ret = (enum pbr_profile)i;
            return true;
        }
    }
    return false;
}

/* ---- change detection mode ---- */

static int parse_released(const char *text, struct pbr_detection *ret, struct pbr_diag *diag)
{
    static const char *const modes[] = { "legacy", "data", "metadata" };
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(text, modes[i]) == 0) {
            *ret = (struct pbr_detection){ .mode = (enum pbr_change_mode)i };
            return PBR_OK;
        }
    }
    return pbr_fail_at(diag, PBR_E_ARG, "CLI-040",
                       "parameter verification failed - 'change-detection-mode': value '%s' is not defined in the enumeration.", text);
}

/* Length of the part before the next ':'. */
static size_t part_len(struct pbr_span list)
{
    const uint8_t *colon = list.len ? memchr(list.ptr, ':', list.len) : NULL;
    return colon ? (size_t)(colon - list.ptr) : list.len;
}

/* [a-zA-Z0-9_-]+\.pxar */
static bool is_listed_name(struct pbr_span part)
{
    if (!pbr_span_ends(part, ".pxar") || part.len == strlen(".pxar"))
        return false;
    for (size_t i = 0; i < part.len - strlen(".pxar"); i++) {
        const uint8_t c = part.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

static bool is_list(struct pbr_span list)
{
    for (;;) {
        const size_t n = part_len(list);
        if (!is_listed_name(pbr_span_sub(list, 0, n)))
            return false;
        if (n == list.len)
            return true;
        list = pbr_span_sub(list, n + 1, list.len);
    }
}

static int parse_draft(enum pbr_profile profile, const char *text, struct pbr_detection *ret, struct pbr_diag *diag)
{
    const struct pbr_span span = pbr_span_str(text);
    const size_t head = strlen("metadata");
    if (strcmp(text, "data") == 0) {
        *ret = (struct pbr_detection){ .mode = PBR_MODE_LEGACY };
        return PBR_OK;
    }
    const bool has_list = pbr_span_starts(span, "metadata:");
    const struct pbr_span list = has_list ? pbr_span_sub(span, head + 1, span.len) : pbr_span(NULL, 0);
    if (strcmp(text, "metadata") != 0 && !(has_list && is_list(list)))
        return pbr_fail_at(diag, PBR_E_ARG, profile == PBR_PROFILE_DRAFT_SPLIT ? "SPL-100" : "APX-086",
                           "parameter verification failed - 'change-detection-mode': '%s' is not data or metadata[:NAME.pxar]...",
                           text);
    *ret = (struct pbr_detection){ .mode = PBR_MODE_METADATA, .only = list };
    return PBR_OK;
}

int pbr_detection_parse(enum pbr_profile profile, const char *text, struct pbr_detection *ret, struct pbr_diag *diag)
{
    if (profile == PBR_PROFILE_RELEASED)
        return parse_released(text ? text : "legacy", ret, diag);
    return parse_draft(profile, text ? text : "data", ret, diag);
}

enum pbr_change_mode pbr_detection_mode(const struct pbr_detection *d, const char *target)
{
    struct pbr_span list = d->only;
    if (d->mode != PBR_MODE_METADATA || list.len == 0)
        return d->mode;
    for (;;) {
        const size_t n = part_len(list);
        if (pbr_span_eq_str(pbr_span_sub(list, 0, n), target))
            return PBR_MODE_METADATA;
        if (n == list.len)
            return PBR_MODE_LEGACY;
        list = pbr_span_sub(list, n + 1, list.len);
    }
}

/* ---- names ---- */

#define META_DRAFT ".pxar.meta.didx"

static bool join(const char *base, size_t len, const char *suffix, char out[PBR_ARCHIVE_NAME_MAX + 1])
{
    const int n = snprintf(out, PBR_ARCHIVE_NAME_MAX + 1, "%.*s%s", (int)len, base, suffix);
    return n > 0 && n <= PBR_ARCHIVE_NAME_MAX;
}

bool pbr_split_names(enum pbr_profile profile, const char *base, bool data, struct pbr_split_names *ret)
{
    const size_t len = strlen(base);
    switch (profile) {
    case PBR_PROFILE_RELEASED:
        return join(base, len, ".mpxar.didx", ret->meta) && join(base, len, ".ppxar.didx", ret->payload);
    case PBR_PROFILE_DRAFT_SPLIT:
        return join(base, len, META_DRAFT, ret->meta) &&
               join(base, len, data ? ".pxar.data.didx" : ".pxar.pld.didx", ret->payload);
    case PBR_PROFILE_DRAFT_APPENDIX:
        break;
    }
    return false;
}

bool pbr_name_is_metadata(struct pbr_span stored)
{
    return pbr_span_ends(stored, ".mpxar.didx") || pbr_span_ends(stored, META_DRAFT);
}

/* Endings that mean an archive of a directory. */
enum ending { END_PXAR, END_META, END_PAYLOAD, END_DRAFT_META, END_DRAFT_PLD, END_DRAFT_DATA, ENDINGS };

static enum ending ending_of(const char *stored, size_t *ret_base_len)
{
    static const char *const endings[] = {
        [END_PXAR] = ".pxar.didx",           [END_META] = ".mpxar.didx",         [END_PAYLOAD] = ".ppxar.didx",
        [END_DRAFT_META] = META_DRAFT,       [END_DRAFT_PLD] = ".pxar.pld.didx", [END_DRAFT_DATA] = ".pxar.data.didx",
    };
    const struct pbr_span span = pbr_span_str(stored);
    for (int i = 0; i < ENDINGS; i++) {
        if (pbr_span_ends(span, endings[i]) && span.len > strlen(endings[i])) {
            *ret_base_len = span.len - strlen(endings[i]);
            return (enum ending)i;
        }
    }
    return ENDINGS;
}

/* The released pair of `base`, if the manifest has either the metadata archive or the name that was asked for. */
static bool find_released(const struct pbr_manifest *m, const char *stored, size_t base_len, struct pbr_archive_names *ret)
{
    if (!join(stored, base_len, ".mpxar.didx", ret->name) || !join(stored, base_len, ".ppxar.didx", ret->payload))
        return false;
    ret->form = PBR_ARCHIVE_SPLIT;
    ret->profile = PBR_PROFILE_RELEASED;
    return pbr_manifest_find(m, ret->name) || pbr_manifest_find(m, stored);
}

/* The draft's pair: 1, or 0 if the manifest has no metadata archive of that name. */
static int find_draft(const struct pbr_manifest *m, const char *stored, size_t base_len, struct pbr_archive_names *ret,
                      struct pbr_diag *diag)
{
    char other[PBR_ARCHIVE_NAME_MAX + 1];
    if (!join(stored, base_len, META_DRAFT, ret->name) || !join(stored, base_len, ".pxar.pld.didx", ret->payload) ||
        !join(stored, base_len, ".pxar.data.didx", other) || !pbr_manifest_find(m, ret->name))
        return 0;
    ret->form = PBR_ARCHIVE_SPLIT;
    ret->profile = PBR_PROFILE_DRAFT_SPLIT;
    const bool has_pld = pbr_manifest_find(m, ret->payload) != NULL;
    const bool has_data = pbr_manifest_find(m, other) != NULL;
    if (has_pld && has_data)
        return pbr_fail_at(diag, PBR_E_FORMAT, "SPL-014", "the manifest has both '%s' and '%s'", ret->payload, other);
    if (has_data)
        memcpy(ret->payload, other, sizeof(other));
    else if (!has_pld)
        ret->payload[0] = 0;
    return 1;
}

static int not_found(const char *stored, struct pbr_diag *diag)
{
    return pbr_fail_at(diag, PBR_E_NOENT, "RDR-071", "archive not found in manifest: '%s'", stored);
}

int pbr_archive_find(const struct pbr_manifest *m, const char *stored, struct pbr_archive_names *ret, struct pbr_diag *diag)
{
    struct pbr_archive_names found = { .form = PBR_ARCHIVE_OTHER };
    size_t base_len = 0;
    const enum ending ending = ending_of(stored, &base_len);
    const bool listed = pbr_manifest_find(m, stored) != NULL;
    if (ending == ENDINGS || (ending == END_PXAR && listed)) {
        if (!listed)
            return not_found(stored, diag);
        found.form = ending == ENDINGS ? PBR_ARCHIVE_OTHER : PBR_ARCHIVE_PXAR;
        (void)snprintf(found.name, sizeof(found.name), "%s", stored);
        *ret = found;
        return PBR_OK;
    }
    if ((ending == END_PXAR || ending == END_META || ending == END_PAYLOAD) && find_released(m, stored, base_len, &found)) {
        *ret = found;
        return PBR_OK;
    }
    const int rc = ending == END_META || ending == END_PAYLOAD ? 0 : find_draft(m, stored, base_len, &found, diag);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return not_found(stored, diag);
    *ret = found;
    return PBR_OK;
}
