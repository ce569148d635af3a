/* SPDX-License-Identifier: MIT */
/* Sizes and time spans as people read them; see human.h. */
#include "client/human.h"

#include <stdio.h>
#include <string.h>

static void cut_zeros(char *text)
{
    size_t n = strlen(text);
    if (!strchr(text, '.'))
        return;
    while (n > 0 && text[n - 1] == '0')
        text[--n] = 0;
    if (n > 0 && text[n - 1] == '.')
        text[n - 1] = 0;
}

static void format_size(double bytes, int decimals, char *out)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    char number[32];
    size_t unit = 0;
    while (bytes >= 1024.0 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1024.0;
        unit++;
    }
    (void)snprintf(number, sizeof(number), "%.*f", decimals, bytes);
    cut_zeros(number);
    (void)snprintf(out, PBR_HUMAN_MAX, "%s %s", number, units[unit]);
}

void pbr_human_size(uint64_t bytes, char out[PBR_HUMAN_MAX])
{
    format_size((double)bytes, 3, out);
}

void pbr_human_size_short(uint64_t bytes, char out[PBR_HUMAN_MAX])
{
    format_size((double)bytes, 1, out);
}

void pbr_human_rate(uint64_t bytes, uint64_t ns, char out[PBR_HUMAN_MAX])
{
    format_size(ns ? (double)bytes * 1e9 / (double)ns : 0.0, 3, out);
}

void pbr_human_span(uint64_t ns, char out[PBR_HUMAN_MAX])
{
    static const struct {
        uint64_t seconds;
        char unit;
    } parts[] = { { 31557600, 'y' }, { 2630016, 'M' }, { 604800, 'w' }, { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' } };
    uint64_t seconds = ns / 1000000000u;
    const uint64_t tenths = ns % 1000000000u / 100000000u;
    size_t n = 0;
    out[0] = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        const uint64_t count = seconds / parts[i].seconds;
        seconds %= parts[i].seconds;
        if (count > 0)
            n += (size_t)snprintf(out + n, PBR_HUMAN_MAX - n, "%s%" PRIu64 "%c", n ? " " : "", count, parts[i].unit);
    }
    if (seconds > 0 || tenths > 0) {
        char number[32];
        (void)snprintf(number, sizeof(number), "%" PRIu64 ".%" PRIu64, seconds, tenths);
        cut_zeros(number);
        (void)snprintf(out + n, PBR_HUMAN_MAX - n, "%s%ss", n ? " " : "", number);
    } else if (n == 0) {
        (void)snprintf(out, PBR_HUMAN_MAX, ns ? "<0.1s" : "0s");
    }
}

bool pbr_human_parse_size(struct pbr_span text, uint64_t *ret)
{
    static const char units[] = "kmgtp";
    double value = 0, scale = 1;
    size_t i = 0, digits = 0;
    for (; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++, digits++)
        value = value * 10 + (text.ptr[i] - '0');
    if (i < text.len && text.ptr[i] == '.')
        for (i++; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++, digits++)
            value += (text.ptr[i] - '0') * (scale /= 10);
    i += i < text.len && text.ptr[i] == ' ';
    const char *unit = i < text.len && text.ptr[i] ? strchr(units, text.ptr[i] | 0x20) : NULL;
    if (unit) {
        const bool binary = ++i < text.len && (text.ptr[i] | 0x20) == 'i';
        i += binary;
        for (const char *u = units; u <= unit; u++)
            value *= binary ? 1024 : 1000;
    }
    i += i < text.len && (text.ptr[i] | 0x20) == 'b';
    if (digits == 0 || i != text.len || value >= 1.8e19)
        return false;
    *ret = (uint64_t)value;
    return true;
}
