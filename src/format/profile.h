/* SPDX-License-Identifier: MIT */
/* How archives of directories are named and encoded: the released format and two drafts that were never released
 * [SPL, APX]. A profile is chosen for writing; readers go by names and content.
 *
 *   profile         archives of root.pxar, metadata mode                      else
 *   released        root.mpxar.didx, root.ppxar.didx                          data: the same; legacy: root.pxar.didx
 *   draft-split     root.pxar.meta.didx, root.pxar.pld.didx        [SPL-010]  root.pxar.didx
 *   draft-appendix  root.pxar.didx, unchanged files in an appendix [APX-002]  root.pxar.didx
 *
 * Pure. Thread: plain values. */
#ifndef PBR_FORMAT_PROFILE_H
#define PBR_FORMAT_PROFILE_H

#include "format/manifest.h"

enum pbr_profile { PBR_PROFILE_RELEASED, PBR_PROFILE_DRAFT_SPLIT, PBR_PROFILE_DRAFT_APPENDIX };

/* "released", "draft-split", "draft-appendix". */
const char *pbr_profile_name(enum pbr_profile profile);
PBR_MUST_USE bool pbr_profile_parse(struct pbr_span text, enum pbr_profile *ret);

/* ---- change detection mode ---- */

/* LEGACY: one self-contained archive (the drafts say `data`, SPL-110); DATA: split, everything encoded; METADATA. */
enum pbr_change_mode { PBR_MODE_LEGACY, PBR_MODE_DATA, PBR_MODE_METADATA };

struct pbr_detection {
    enum pbr_change_mode mode;
    struct pbr_span only; /* METADATA: "a.pxar:b.pxar", the only archives meant; empty: all. Borrows from the text */
};

/* Released: legacy|data|metadata, legacy without text. Drafts: data, the default, or metadata[:NAME.pxar]... [APX-085 ..
 * APX-090, SPL-100, SPL-111]. `text` NULL: none was given. ARG with the profile's rule. */
PBR_MUST_USE int pbr_detection_parse(enum pbr_profile profile, const char *text, struct pbr_detection *ret,
                                     struct pbr_diag *diag);
/* The mode for one archive of the backup, `target` as in "root.pxar" [APX-088]. */
enum pbr_change_mode pbr_detection_mode(const struct pbr_detection *d, const char *target);

/* ---- names ---- */

struct pbr_split_names {
    char meta[PBR_ARCHIVE_NAME_MAX + 1], payload[PBR_ARCHIVE_NAME_MAX + 1];
};

/* Stored names of the two halves of `base` ("root") [SPL-010, BKP-223]; `data`: the draft's other payload name [SPL-014].
 * False if they would be too long, or the profile does not split. */
PBR_MUST_USE bool pbr_split_names(enum pbr_profile profile, const char *base, bool data, struct pbr_split_names *ret);

/* Whether a stored name is that of a metadata archive, of either profile. */
bool pbr_name_is_metadata(struct pbr_span stored);

enum pbr_archive_form {
    PBR_ARCHIVE_OTHER, /* image, blob, catalog: just a name */
    PBR_ARCHIVE_PXAR,  /* one stream */
    PBR_ARCHIVE_SPLIT,
};

struct pbr_archive_names {
    enum pbr_archive_form form;
    enum pbr_profile profile;                /* SPLIT: released or draft-split */
    char name[PBR_ARCHIVE_NAME_MAX + 1];     /* SPLIT: of the metadata archive */
    char payload[PBR_ARCHIVE_NAME_MAX + 1];  /* SPLIT; "" if a draft's manifest has none [SPL-092] */
};

/* What a stored name (pbr_name_stored) means in a snapshot [IDX-083, IDX-094, SPL-014, SPL-015]. NOENT: the manifest has
 * no such archive; FORMAT SPL-014: both payload names of the draft. */
PBR_MUST_USE int pbr_archive_find(const struct pbr_manifest *m, const char *stored, struct pbr_archive_names *ret,
                                  struct pbr_diag *diag);

#endif
