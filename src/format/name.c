/* SPDX-License-Identifier: MIT */
/* Names and times as text; see name.h [IDX-080 .. IDX-084, IDX-107 .. IDX-110, API-032 .. API-034,
 * RDR-070]. Thread: plain values. */
#include "format/name.h"

#include <stdio.h>
#include <string.h>

/* ---- safe ids and archive names ---- */

static bool is_word(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

bool pbr_name_is_safe_id(struct pbr_span text)
{
    if (text.len == 0 || !is_word(text.ptr[0]))
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (!is_word(text.ptr[i]) && text.ptr[i] != '.' && text.ptr[i] != '-')
            return false;
    return true;
}

/* What stands behind the last dot of the last path component; a name that is only a dot and an
 * extension has none [IDX-083]. */
static bool extension(struct pbr_span name, struct pbr_span *ret)
{
    for (size_t i = name.len; i > 0; i--) {
        if (name.ptr[i - 1] == '/')
            return false;
        if (name.ptr[i - 1] == '.') {
            if (i == 1 || name.ptr[i - 2] == '/')
                return false;
            *ret = pbr_span_sub(name, i, name.len - i);
            return true;
        }
    }
    return false;
}

/* [IDX-080, IDX-083]; `add` is what a stored name has behind this extension. */
static const struct {
    const char *ext;
    enum pbr_file_type type;
    const char *add;
} extensions[] = {
    { "didx", PBR_FILE_DIDX, "" },       { "fidx", PBR_FILE_FIDX, "" },
    { "blob", PBR_FILE_BLOB, "" },       { "pxar", PBR_FILE_DIDX, ".didx" },
    { "mpxar", PBR_FILE_DIDX, ".didx" }, { "ppxar", PBR_FILE_DIDX, ".didx" },
    { "pcat1", PBR_FILE_DIDX, ".didx" }, { "img", PBR_FILE_FIDX, ".fidx" },
    { "conf", PBR_FILE_BLOB, ".blob" },  { "json", PBR_FILE_BLOB, ".blob" },
    { "key", PBR_FILE_BLOB, ".blob" },   { "log", PBR_FILE_BLOB, ".blob" },
};
enum { EXTENSION_NR = sizeof(extensions) / sizeof(extensions[0]), STORED_NR = 3, PXAR_ROW = 3 };

/* Row of the name's extension among the first `rows`, or -1. */
static int extension_row(struct pbr_span name, int rows)
{
    struct pbr_span ext;
    if (!extension(name, &ext))
        return -1;
    for (int i = 0; i < rows; i++)
        if (pbr_span_eq_str(ext, extensions[i].ext))
            return i;
    return -1;
}

bool pbr_name_file_type(struct pbr_span name, enum pbr_file_type *ret)
{
    const int row = extension_row(name, STORED_NR);
    if (row < 0)
        return false;
    *ret = extensions[row].type;
    return true;
}

/* Halves of the draft's split archives, which have no extension of their own [SPL-015]. */
static bool is_draft_half(struct pbr_span name)
{
    return pbr_span_ends(name, ".pxar.meta") || pbr_span_ends(name, ".pxar.pld") || pbr_span_ends(name, ".pxar.data");
}

int pbr_name_stored(struct pbr_span name, char *out, struct pbr_diag *diag)
{
    const int row = is_draft_half(name) ? PXAR_ROW : extension_row(name, EXTENSION_NR);
    if (row < 0 || memchr(name.ptr, 0, name.len))
        return pbr_fail_at(diag, PBR_E_ARG, "RDR-070", "failed to parse archive type for '%.*s'",
                           (int)name.len, name.len ? (const char *)name.ptr : "");
    const size_t add_len = strlen(extensions[row].add);
    if (name.len > PBR_ARCHIVE_NAME_MAX - add_len)
        return pbr_fail_at(diag, PBR_E_ARG, "IDX-083", "archive name of %zu bytes is too long",
                           name.len);
    memcpy(out, name.ptr, name.len);
    memcpy(out + name.len, extensions[row].add, add_len + 1);
    return PBR_OK;
}

/* ---- times: the proleptic Gregorian calendar, counted in days since 1970-01-01 ---- */

enum { DAY_S = 86400, ERA_DAYS = 146097, ERA_YEARS = 400 };

/* A time of day and a calendar day; years count from 0 and may be negative. */
struct civil {
    int64_t year;
    unsigned month, day, hour, minute, second;
};

/* Days from 0000-03-01, the start of a year that ends with the leap day, to 1970-01-01. */
enum { EPOCH_SHIFT = 719468 };

static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    const int64_t y = month <= 2 ? year - 1 : year;
    const int64_t era = (y >= 0 ? y : y - (ERA_YEARS - 1)) / ERA_YEARS;
    const int64_t in_era = y - era * ERA_YEARS;
    const int64_t month_from_march = (month + 9) % 12;
    const int64_t day_of_year =
        (153 * month_from_march + 2) / 5 + day - 1; /* 153 days in five months from March */
    return era * ERA_DAYS + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - EPOCH_SHIFT;
}

static struct civil civil_from_seconds(int64_t time_s)
{
    int64_t days = time_s / DAY_S;
    int64_t rest = time_s % DAY_S;
    if (rest < 0) {
        rest += DAY_S;
        days--;
    }
    days += EPOCH_SHIFT;
    const int64_t era = (days >= 0 ? days : days - (ERA_DAYS - 1)) / ERA_DAYS;
    const int64_t in_era = days - era * ERA_DAYS;
    const int64_t year_in_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    const int64_t day_of_year = in_era - (365 * year_in_era + year_in_era / 4 - year_in_era / 100);
    const int64_t month_from_march = (5 * day_of_year + 2) / 153;
    const unsigned month =
        (unsigned)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    return (struct civil){ .year = era * ERA_YEARS + year_in_era + (month <= 2),
                           .month = month,
                           .day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
                           .hour = (unsigned)(rest / 3600),
                           .minute = (unsigned)(rest / 60 % 60),
                           .second = (unsigned)(rest % 60) };
}

#define TIME_MIN INT64_C(-62167219200) /* 0000-01-01T00:00:00Z */
#define TIME_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

bool pbr_time_format(int64_t time_s, char *out)
{
    if (time_s < 1 || time_s > TIME_MAX)
        return false;
    char text[32];
    pbr_time_format_any(time_s, text);
    memcpy(out, text, PBR_TIME_TEXT + 1);
    return true;
}

void pbr_time_format_any(int64_t time_s, char *out)
{
    const struct civil c = civil_from_seconds(time_s);
    (void)snprintf(out, 32, "%04" PRId64 "-%02u-%02uT%02u:%02u:%02uZ", c.year, c.month, c.day,
                   c.hour, c.minute, c.second);
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static bool day_ok(int64_t year, uint64_t month, uint64_t day)
{
    static const unsigned days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    if (month < 1 || month > 12)
        return false;
    return day >= 1 && day <= days[month - 1] + (month == 2 && is_leap(year));
}

/* Digits at [off, off+len) of text. */
static bool number(struct pbr_span text, size_t off, size_t len, uint64_t max, uint64_t *ret)
{
    return pbr_parse_u64(pbr_span_sub(text, off, len), 0, max, ret);
}

/* "YYYY-MM-DDTHH:MM:SS", the first 19 bytes of text. */
static bool parse_date_time(struct pbr_span text, int64_t *ret)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd";
    uint64_t year, month, day, hour, minute, second;
    for (size_t i = 0; i < sizeof(form) - 1; i++)
        if (form[i] != 'd' && text.ptr[i] != (uint8_t)form[i])
            return false;
    if (!number(text, 0, 4, 9999, &year) || !number(text, 5, 2, 12, &month) ||
        !number(text, 8, 2, 31, &day) || !number(text, 11, 2, 23, &hour) ||
        !number(text, 14, 2, 59, &minute) || !number(text, 17, 2, 59, &second) ||
        !day_ok((int64_t)year, month, day))
        return false;
    *ret = days_from_civil((int64_t)year, (unsigned)month, (unsigned)day) * DAY_S +
           (int64_t)(hour * 3600 + minute * 60 + second);
    return true;
}

bool pbr_time_parse(struct pbr_span text, int64_t *ret)
{
    int64_t time_s;
    if (text.len != PBR_TIME_TEXT || text.ptr[PBR_TIME_TEXT - 1] != 'Z' ||
        !parse_date_time(text, &time_s) || time_s < 1)
        return false;
    *ret = time_s;
    return true;
}

bool pbr_time_parse_zone(struct pbr_span text, struct pbr_zone_time *ret)
{
    enum { DATE_TIME = 19, WITH_OFFSET = 25 };
    int64_t time_s;
    uint64_t hour, minute;
    if ((text.len != PBR_TIME_TEXT && text.len != WITH_OFFSET) || !parse_date_time(text, &time_s))
        return false;
    if (text.len == PBR_TIME_TEXT) {
        if (text.ptr[DATE_TIME] != 'Z')
            return false;
        *ret = (struct pbr_zone_time){ .time_s = time_s };
        return true;
    }
    const uint8_t sign = text.ptr[DATE_TIME];
    if ((sign != '+' && sign != '-') || text.ptr[22] != ':' || !number(text, 20, 2, 23, &hour) ||
        !number(text, 23, 2, 59, &minute))
        return false;
    const int offset_min = (int)(hour * 60 + minute) * (sign == '-' ? -1 : 1);
    *ret = (struct pbr_zone_time){ .time_s = time_s - offset_min * 60, .offset_min = offset_min };
    return true;
}

bool pbr_time_format_zone(const struct pbr_zone_time *t, char *out)
{
    const int offset = t->offset_min < 0 ? -t->offset_min : t->offset_min;
    int64_t local_s;
    char text[32];
    if (offset >= 24 * 60 ||
        __builtin_add_overflow(t->time_s, (int64_t)t->offset_min * 60, &local_s) ||
        local_s < TIME_MIN || local_s > TIME_MAX)
        return false;
    pbr_time_format_any(local_s, text);
    (void)snprintf(out, PBR_ZONE_TIME_TEXT + 1, "%.19s%c%02d:%02d", text,
                   t->offset_min < 0 ? '-' : '+', offset / 60 % 24, offset % 60);
    return true;
}

/* ---- namespaces ---- */

/* The text up to the next '/', which is taken too. */
static struct pbr_span next_part(struct pbr_span *rest)
{
    size_t n = 0;
    while (n < rest->len && rest->ptr[n] != '/')
        n++;
    const struct pbr_span part = pbr_span_sub(*rest, 0, n);
    *rest = pbr_span_sub(*rest, n + 1, rest->len);
    return part;
}

int pbr_ns_check(struct pbr_span ns, struct pbr_diag *diag)
{
    struct pbr_span rest = ns;
    size_t depth = 0, len = 0;
    if (ns.len == 0)
        return PBR_OK;
    for (bool more = true; more; depth++) {
        const size_t before = rest.len;
        const struct pbr_span part = next_part(&rest);
        more = part.len <
               before; /* a '/' was there, so another part must follow, even if it is empty */
        if (!pbr_name_is_safe_id(part))
            return pbr_fail_at(diag, PBR_E_ARG, "API-032", "not a valid namespace component: %.*s",
                               (int)part.len, part.len ? (const char *)part.ptr : "");
        if (depth >= PBR_NS_DEPTH_MAX)
            return pbr_fail_at(diag, PBR_E_ARG, "API-032", "namespace too deep, %zu >= max %d",
                               depth, (int)PBR_NS_DEPTH_MAX);
        /* each part counts with a '/', also the first [IDX-110] */
        if (len + part.len >= PBR_NS_MAX)
            return pbr_fail_at(diag, PBR_E_ARG, "API-032", "namespace length exceeded");
        len += part.len + (depth > 0);
    }
    return PBR_OK;
}

/* ---- groups and snapshots ---- */

bool pbr_backup_type_ok(struct pbr_span type)
{
    return pbr_span_eq_str(type, "host") || pbr_span_eq_str(type, "vm") ||
           pbr_span_eq_str(type, "ct");
}

static bool parse_group(struct pbr_span type, struct pbr_span id, struct pbr_group *ret)
{
    if (!pbr_backup_type_ok(type) || !pbr_name_is_safe_id(id) || id.len > PBR_ID_MAX)
        return false;
    struct pbr_group g = { 0 };
    memcpy(g.type, type.ptr, type.len);
    memcpy(g.id, id.ptr, id.len);
    *ret = g;
    return true;
}

int pbr_group_parse(struct pbr_span text, struct pbr_group *ret, struct pbr_diag *diag)
{
    struct pbr_span rest = text;
    const struct pbr_span type = next_part(&rest);
    if (!parse_group(type, rest, ret))
        return pbr_fail_at(diag, PBR_E_ARG, "API-033", "unable to parse backup group path '%.*s'",
                           (int)text.len, text.len ? (const char *)text.ptr : "");
    return PBR_OK;
}

int pbr_snapshot_parse(struct pbr_span text, struct pbr_snapshot *ret, struct pbr_diag *diag)
{
    struct pbr_span rest = text;
    struct pbr_snapshot s = { 0 };
    const struct pbr_span type = next_part(&rest);
    const struct pbr_span id = next_part(&rest);
    if (!parse_group(type, id, &s.group) || !pbr_time_parse(rest, &s.time_s))
        return pbr_fail_at(diag, PBR_E_ARG, "API-033",
                           "unable to parse backup snapshot path '%.*s'", (int)text.len,
                           text.len ? (const char *)text.ptr : "");
    *ret = s;
    return PBR_OK;
}

void pbr_group_format(const struct pbr_group *g, char *out, size_t cap)
{
    (void)snprintf(out, cap, "%s/%s", g->type, g->id);
}

void pbr_snapshot_format(const struct pbr_snapshot *s, char *out, size_t cap)
{
    char time[32];
    pbr_time_format_any(s->time_s, time);
    (void)snprintf(out, cap, "%s/%s/%s", s->group.type, s->group.id, time);
}
