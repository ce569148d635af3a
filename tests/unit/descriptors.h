/* SPDX-License-Identifier: MIT */
/* How many descriptors this process has open: a test compares two counts. */
#ifndef PBR_TEST_DESCRIPTORS_H
#define PBR_TEST_DESCRIPTORS_H

#include <dirent.h>

#include "test.h"

static inline int open_descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

#endif
