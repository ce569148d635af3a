/* SPDX-License-Identifier: MIT */
/* Looks for secrets in the memory of a program that is about to end: preloaded into it (LD_PRELOAD), runs after main.
 *
 *   $MEMORY_SCAN      file of patterns, one a line, each byte inverted and in hex, so that the patterns are not found themselves
 *   $MEMORY_SCAN_OUT  file that gets a line per hit: index of the pattern, mapping; and at the end "scanned BYTES"
 *
 * Thread: runs when all others are gone. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERNS_MAX = 32, PATTERN_MAX = 128, MAPS_MAX = 4096 };

static uint8_t patterns[PATTERNS_MAX][PATTERN_MAX]; /* inverted */
static size_t lens[PATTERNS_MAX], pattern_nr;

static struct {
    uintptr_t from, to;
    char name[80];
} maps[MAPS_MAX];
static size_t map_nr;

static void load_patterns(const char *path)
{
    char line[2 * PATTERN_MAX + 2];
    FILE *in = fopen(path, "re");
    while (in && pattern_nr < PATTERNS_MAX && fgets(line, sizeof(line), in)) {
        size_t n = 0;
        unsigned byte;
        while (n < PATTERN_MAX && sscanf(line + 2 * n, "%2x", &byte) == 1)
            patterns[pattern_nr][n++] = (uint8_t)byte;
        lens[pattern_nr++] = n;
    }
    if (in)
        fclose(in);
}

static void load_maps(void)
{
    char line[512];
    FILE *in = fopen("/proc/self/maps", "re");
    while (in && map_nr < MAPS_MAX && fgets(line, sizeof(line), in)) {
        unsigned long from, to;
        char mode[8], name[80] = "";
        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %79s", &from, &to, mode, name) < 3 || strncmp(mode, "rw", 2) != 0)
            continue;
        maps[map_nr].from = from;
        maps[map_nr].to = to;
        memcpy(maps[map_nr++].name, name, sizeof(name));
    }
    if (in)
        fclose(in);
}

static void scan_map(FILE *out, size_t m, size_t p)
{
    const uint8_t *at = (const uint8_t *)maps[m].from, *const end = (const uint8_t *)maps[m].to;
    while ((size_t)(end - at) >= lens[p]) {
        const uint8_t *hit = memchr(at, patterns[p][0] ^ 0xff, (size_t)(end - at) - lens[p] + 1);
        if (!hit)
            return;
        size_t n = 1;
        while (n < lens[p] && (hit[n] ^ 0xff) == patterns[p][n])
            n++;
        if (n == lens[p])
            fprintf(out, "%zu %s+%#lx\n", p, maps[m].name, (unsigned long)((uintptr_t)hit - maps[m].from));
        at = hit + 1;
    }
}

static void __attribute__((destructor)) scan(void)
{
    const char *in = getenv("MEMORY_SCAN"), *result = getenv("MEMORY_SCAN_OUT");
    unsigned long bytes = 0;
    FILE *out = in && result ? fopen(result, "we") : NULL;
    if (!out)
        return;
    load_patterns(in);
    load_maps();
    for (size_t m = 0; m < map_nr; m++) {
        bytes += maps[m].to - maps[m].from;
        for (size_t p = 0; p < pattern_nr; p++)
            if (lens[p] > 0)
                scan_map(out, m, p);
    }
    fprintf(out, "scanned %lu\n", bytes);
    fclose(out);
}
