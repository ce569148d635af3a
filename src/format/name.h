/* SPDX-License-Identifier: MIT */
/* Names of the field: archive names, backup types and ids, namespaces, group and snapshot paths, times, repositories'
 * safe ids. Pure text rules, shared by client, server and store. Thread: plain values. */
#ifndef PBR_FORMAT_NAME_H
#define PBR_FORMAT_NAME_H

#include "base/bytes.h"

enum { PBR_NS_MAX = 256, PBR_NS_DEPTH_MAX = 7, PBR_ID_MAX = 255, PBR_ARCHIVE_NAME_MAX = 255, PBR_TIME_TEXT = 20 };

/* `[A-Za-z0-9_][A-Za-z0-9._-]*` (IDX-081, IDX-108, BKP-015). */
bool pbr_name_is_safe_id(struct pbr_span text);

enum pbr_file_type { PBR_FILE_DIDX, PBR_FILE_FIDX, PBR_FILE_BLOB };
/* By the last extension (IDX-080); false if none of the three. */
bool pbr_name_file_type(struct pbr_span name, enum pbr_file_type *ret);

/* Stored name of an archive name given by a user (IDX-083): adds .didx/.fidx/.blob as its extension says. `out` has
 * PBR_ARCHIVE_NAME_MAX + 1 bytes. ARG "failed to parse archive type for '...'" (RDR-070). */
PBR_MUST_USE int pbr_name_stored(struct pbr_span name, char *out, struct pbr_diag *diag);

/* 1700000000 <-> "2023-11-14T22:13:20Z" (IDX-109): UTC, exactly 20 characters; out has PBR_TIME_TEXT + 1 bytes. Times
 * 1 .. 253402300799 (year 9999). */
PBR_MUST_USE bool pbr_time_format(int64_t time_s, char *out);
PBR_MUST_USE bool pbr_time_parse(struct pbr_span text, int64_t *ret);
/* Any epoch second as UTC, "YYYY-MM-DDTHH:MM:SSZ" with as many year digits as needed; out has 32 bytes. */
void pbr_time_format_any(int64_t time_s, char *out);

/* A time with the distance of its zone from UTC: "2023-11-14T23:13:20+01:00" (CRY-022). */
enum { PBR_ZONE_TIME_TEXT = 25 };
struct pbr_zone_time {
    int64_t time_s;  /* since the epoch, UTC */
    int offset_min;  /* local time minus UTC, minutes */
};
/* 25 characters with numeric offset, or 20 with "Z". Years 0000 .. 9999. */
PBR_MUST_USE bool pbr_time_parse_zone(struct pbr_span text, struct pbr_zone_time *ret);
/* Always with numeric offset; out has PBR_ZONE_TIME_TEXT + 1 bytes. False if the local year is not 0000 .. 9999. */
PBR_MUST_USE bool pbr_time_format_zone(const struct pbr_zone_time *t, char *out);

/* Namespace: safe ids joined by '/', depth <= 7, length <= 256, empty = root (IDX-110). Texts of API-032. */
PBR_MUST_USE int pbr_ns_check(struct pbr_span ns, struct pbr_diag *diag);

struct pbr_group {
    char type[5];            /* "host", "vm", "ct" */
    char id[PBR_ID_MAX + 1];
};
struct pbr_snapshot {
    struct pbr_group group;
    int64_t time_s;
};
bool pbr_backup_type_ok(struct pbr_span type);
/* "host/web-1" and "host/web-1/2023-11-14T22:13:20Z" (API-033). ARG with the text of API-033. */
PBR_MUST_USE int pbr_group_parse(struct pbr_span text, struct pbr_group *ret, struct pbr_diag *diag);
PBR_MUST_USE int pbr_snapshot_parse(struct pbr_span text, struct pbr_snapshot *ret, struct pbr_diag *diag);
/* out: 300 bytes. */
void pbr_group_format(const struct pbr_group *g, char *out, size_t cap);
void pbr_snapshot_format(const struct pbr_snapshot *s, char *out, size_t cap);

#endif
