/* SPDX-License-Identifier: MIT */
/* A main for fuzz targets without libFuzzer: every argument is a file, or a folder whose files are taken one by one (in
 * the order of their names). Prints how many inputs were run; a violated property aborts with the input's name before it.
 * Built with an AFL++ compiler and called without arguments it is AFL++'s persistent mode: inputs come through shared
 * memory (from stdin without afl-fuzz around it), RUNS of them in one process. */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

static unsigned long run_nr;

/* In memory of exactly that size, so that a read behind the end is seen. */
static void run_bytes(const void *data, size_t len)
{
    uint8_t *exact = malloc(len ? len : 1);
    if (!exact)
        exit(1);
    if (len)
        memcpy(exact, data, len);
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    run_nr++;
}

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t len = 0, cap = 1 << 16;
    uint8_t *data = malloc(cap);
    if (!f || !data) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    for (size_t n; (n = fread(data + len, 1, cap - len, f)) > 0;) {
        len += n;
        if (len < cap)
            continue;
        uint8_t *larger = realloc(data, cap *= 2);
        if (!larger)
            exit(1);
        data = larger;
    }
    (void)fclose(f);
    (void)setenv("PBR_FUZZ_INPUT", path, 1); /* a core file shows it */
    run_bytes(data, len);
    free(data);
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void run_folder(const char *path)
{
    struct dirent **list;
    const int n = scandir(path, &list, visible, alphasort);
    if (n < 0) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    for (int i = 0; i < n; i++) {
        char name[4096];
        (void)snprintf(name, sizeof(name), "%s/%s", path, list[i]->d_name);
        run_file(name);
        free(list[i]);
    }
    free(list);
}

#ifdef __AFL_COMPILER
enum { RUNS = 2000 };

/* the macros are AFL++'s */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wconversion"
__AFL_FUZZ_INIT();

static int run_afl(void)
{
    __AFL_INIT();
    const uint8_t *data = __AFL_FUZZ_TESTCASE_BUF; /* behind __AFL_INIT, before __AFL_LOOP */
    while (__AFL_LOOP(RUNS))
        run_bytes(data, (size_t)__AFL_FUZZ_TESTCASE_LEN);
    return 0;
}
#pragma GCC diagnostic pop
#endif

int main(int argc, char **argv)
{
#ifdef __AFL_COMPILER
    if (argc == 1)
        return run_afl();
#endif
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) != 0) {
            (void)fprintf(stderr, "cannot read %s\n", argv[i]);
            return 1;
        }
        if (S_ISDIR(st.st_mode))
            run_folder(argv[i]);
        else
            run_file(argv[i]);
    }
    (void)printf("%lu inputs\n", run_nr);
    return 0;
}
