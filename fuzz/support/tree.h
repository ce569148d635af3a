/* SPDX-License-Identifier: MIT */
/* Trees that an input describes, and archives of them in all forms.
 *
 *   offset size
 *        0    1  bit 0: there is a prelude (released split archives)
 *        1    7  reserved
 *        8       [length of the prelude (1), prelude,] then one record after the other: a byte that says the kind (enum op,
 *                mod OPS), parameters as take_node (tree.c) takes them
 *
 * Thread: plain values. */
#ifndef PBR_FUZZ_TREE_H
#define PBR_FUZZ_TREE_H

#include "format/pxar_enc.h"
#include "support/archive.h"

enum {
    FUZZ_TREE_HEAD = 8,
    NODES_MAX = 100,
    DEPTH_MAX = 12,
    PATH_CAP = 512,
    XATTRS = 3,
    IDS = 3,
    TREE_OUT_MAX = 4 << 20,
    PAD_MAX = 63,
};

enum form { FORM_ONE, FORM_SPLIT, FORM_DRAFT_SPLIT, FORM_DRAFT_APPENDIX, FORMS };

enum op { OP_FILE, OP_DIR, OP_LEAVE, OP_SYMLINK, OP_DEVICE, OP_SPECIAL, OP_HARDLINK, OP_LONG_FILE, OPS };

struct node {
    enum op op;
    char name[40], path[PATH_CAP];
    struct pbr_pxar_meta meta;
    struct pbr_pxar_xattr xattrs[XATTRS];
    char xattr_names[XATTRS][16];
    struct pbr_pxar_acl_id ids[4][IDS];
    struct pbr_span content; /* file; symlink: target */
    uint64_t major, minor;
    size_t link;             /* hard link: the file */
    bool reused;             /* in forms that can, with so many bytes before it */
    size_t pad;
    uint64_t name_pos;       /* in the archive being written */
    bool found;              /* the reader's: read back, out of the appendix */
};

struct tree {
    struct node nodes[NODES_MAX];
    size_t nr;
    struct pbr_pxar_meta root;
    struct pbr_span prelude;
    bool has_prelude;
    uint8_t *bulk; /* contents of long files */
};

/* An archive being written, and when it is: archive in `meta`, payload stream in `payload`. */
struct archive {
    struct pbr_buf meta, payload;
    struct pbr_sink meta_sink, payload_sink;
    struct pbr_pxar_enc *enc;
    enum form form;
    struct pbr_buf appendix;
};

/* The tree of an input, which it borrows from; never fails. Free it with fuzz_tree_free. */
struct tree *fuzz_tree_new(struct pbr_span in);
void fuzz_tree_free(struct tree *tree);
bool fuzz_tree_is_file(const struct node *n);

bool fuzz_form_is_split(enum form form);
/* MUST: the encoder takes all of it. Sets name_pos of the nodes. Released by fuzz_archive_release. */
void fuzz_tree_write(struct tree *tree, enum form form, struct archive *ret);
struct fuzz_pair fuzz_archive_pair(const struct archive *a);
void fuzz_archive_release(struct archive *a);

#endif
