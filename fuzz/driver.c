/* SPDX-License-Identifier: MIT */
/* A main for fuzz targets without libFuzzer: every argument is a file, or a folder whose files are taken one by one (in
 * the order of their names). Prints how many inputs were run; a violated property aborts with the input's name before it.
 * Under AFL++: afl-fuzz ... -- target @@ */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned long run_nr;

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
    uint8_t *exact = malloc(len ? len : 1); /* so that a read behind the end is seen */
    if (!exact)
        exit(1);
    memcpy(exact, data, len);
    free(data);
    (void)setenv("PBR_FUZZ_INPUT", path, 1); /* a core file shows it */
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    run_nr++;
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

int main(int argc, char **argv)
{
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
