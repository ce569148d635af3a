/* SPDX-License-Identifier: MIT */
/* What `pxar extract` and `restore` share: options, patterns, messages of an extraction. Thread: main thread only. */
#ifndef PBR_CLI_EXTRACTION_H
#define PBR_CLI_EXTRACTION_H

#include "archive/extract.h"
#include "cli/cli.h"

struct pbr_extraction {
    struct pbr_cli *cli;
    const struct pbr_args *args;
    const char *target;
    bool strict, ignore_device_errors;
    bool has_files_from;   /* the command has --files-from */
    bool draft; /* a split archive that its name calls a draft's [SPL-027] */
    uint64_t without;      /* feature flags that options took away */
    uint64_t total;        /* archive bytes, for the progress line; 0 = unknown */
    const char *what;      /* progress: name of the archive */
    struct pbr_target root; /* of pbr_extraction_run: the target directory, once it is `opened` */
    bool opened;
};

/* --allow-existing-dirs and the overwrite family, --pattern, --files-from (where the command has it), --prelude-target. */
extern const struct pbr_opt pbr_opts_overwrite[];

/* Extracts everything from freshly opened streams; `payload` NULL for version 1. PARTIAL: entries failed and were reported
 * one by one. */
PBR_MUST_USE int pbr_extraction_run(struct pbr_extraction *x, struct pbr_stream *archive, struct pbr_stream *payload,
                                    struct pbr_extract_stats *ret, struct pbr_diag *diag);

#endif
