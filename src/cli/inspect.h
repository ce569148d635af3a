/* SPDX-License-Identifier: MIT */
/* The parts of `pbsref inspect`: one function per kind of file. Each prints the members of a view (cli/view.h) and returns
 * the first failure; what was printed before it stays.
 * Thread: main thread only. */
#ifndef PBR_CLI_INSPECT_H
#define PBR_CLI_INSPECT_H

#include "cli/view.h"

struct pbr_inspect {
    struct pbr_cli *cli;
    const struct pbr_args *args;
    const char *path;
    const struct pbr_crypt *crypt; /* NULL: no key */
    struct pbr_view view;
};

typedef int pbr_inspect_fn(struct pbr_inspect *in, struct pbr_diag *diag);
/* inspect_archive.c: entries with contents' digests; items; entries found by path. */
pbr_inspect_fn pbr_inspect_archive;
/* inspect_files.c */
pbr_inspect_fn pbr_inspect_payload, pbr_inspect_blob, pbr_inspect_dynamic, pbr_inspect_fixed, pbr_inspect_catalog,
    pbr_inspect_manifest, pbr_inspect_key;

#endif
