/* SPDX-License-Identifier: MIT */
/* Trees of the model tests, kept whole in memory, and the edits that are done to them between two backups. A script is data:
 * the same script gives the same trees, and a script with edits or generations left out is still one. */
#ifndef PBR_MODEL_TREE_H
#define PBR_MODEL_TREE_H

#include "format/pxar.h"
#include "test.h"

enum { NODES_MAX = 80, EDITS_MAX = 64, GENERATIONS_MAX = 16, NAME_SPACE = 16, PATH_SPACE = 256, XATTRS_MAX = 4, DEPTH_MAX = 8 };

/* ---- scripts ---- */

enum edit_op {
    EDIT_CREATE, EDIT_CREATE_NEXT_TO, EDIT_MKDIR, EDIT_OTHER, EDIT_LINK, EDIT_REWRITE, EDIT_GROW, EDIT_SHRINK, EDIT_TOUCH,
    EDIT_CHMOD, EDIT_CHOWN, EDIT_XATTR_VALUE, EDIT_XATTR_SET, EDIT_RENAME, EDIT_MOVE, EDIT_DELETE, EDIT_EXCLUDE,
    EDIT_FILE_TO_DIR, EDIT_HIDDEN_CONTENT, EDIT_HIDDEN_SIZE, EDIT_DAMAGE, EDIT_OPS
};

static const char *const EDIT_NAMES[] = {
    "create", "create next to", "mkdir", "symlink", "link", "rewrite", "grow", "shrink", "touch", "chmod", "chown",
    "xattr value", "xattr set", "rename", "move", "delete", "exclude", "file to dir", "hidden content", "hidden size",
    "damage the reference",
};

struct edit {
    enum edit_op op;
    uint64_t pick, other; /* which of the nodes that fit, modulo their number */
    uint64_t size, seed;
};

enum run_mode { RUN_LEGACY, RUN_DATA, RUN_METADATA };
static const char *const MODE_NAMES[] = { "legacy", "data", "metadata" };

struct generation {
    enum run_mode mode;
    uint64_t cache_max;
    uint64_t cut;      /* 0: cut anywhere; else the average of the chunk stream */
    uint64_t cut_seed; /* and for 0 the largest piece: */
    uint64_t cut_max;
    size_t edit_nr;
    struct edit edits[EDITS_MAX];
};

struct script {
    size_t generation_nr;
    struct generation generations[GENERATIONS_MAX];
};

/* ---- trees ---- */

enum node_kind { NODE_FILE, NODE_DIR, NODE_OTHER };

struct inode {
    enum node_kind kind;
    uint64_t size, seed, mtime;
    uint32_t mode, uid;
    unsigned xattrs; /* bits: which of the names */
    uint64_t xattr_value;
};

struct node {
    bool there, excluded;
    int parent; /* -1: the root */
    char name[NAME_SPACE];
    size_t inode;
};

struct tree {
    struct node nodes[NODES_MAX];
    struct inode inodes[NODES_MAX]; /* one for each node at most; links share one */
    uint64_t clock, names;
    FILE *trace; /* edits are named here, if not NULL */
};

static inline void node_path(const struct tree *t, size_t i, char out[PATH_SPACE])
{
    char rest[PATH_SPACE] = "";
    for (int n = (int)i; n >= 0; n = t->nodes[n].parent) {
        char longer[2 * PATH_SPACE];
        (void)snprintf(longer, sizeof(longer), "%s%s%s", t->nodes[n].name, rest[0] ? "/" : "", rest);
        memcpy(rest, longer, PATH_SPACE - 1);
    }
    memcpy(out, rest, PATH_SPACE);
}

static inline int node_depth(const struct tree *t, size_t i)
{
    int depth = 0;
    for (int n = (int)i; n >= 0; n = t->nodes[n].parent)
        depth++;
    return depth;
}

static inline bool is_below(const struct tree *t, size_t i, size_t dir)
{
    for (int n = (int)i; n >= 0; n = t->nodes[n].parent)
        if (n == (int)dir)
            return true;
    return false;
}

static inline uint64_t link_count(const struct tree *t, size_t inode)
{
    uint64_t n = 0;
    for (size_t i = 0; i < NODES_MAX; i++)
        n += t->nodes[i].there && t->nodes[i].inode == inode;
    return n;
}

/* The pick-th node of a kind (modulo), or NODES_MAX if there is none. */
static inline size_t pick_node(const struct tree *t, enum node_kind kind, bool any_kind, uint64_t pick)
{
    size_t fits[NODES_MAX], nr = 0;
    for (size_t i = 0; i < NODES_MAX; i++)
        if (t->nodes[i].there && (any_kind || t->inodes[t->nodes[i].inode].kind == kind))
            fits[nr++] = i;
    return nr ? fits[pick % nr] : NODES_MAX;
}

/* A directory to put something in, -1: the root, one time in three at least. */
static inline int pick_parent(const struct tree *t, uint64_t pick)
{
    const size_t dir = pick_node(t, NODE_DIR, false, pick / 3);
    return pick % 3 == 0 || dir == NODES_MAX || node_depth(t, dir) >= DEPTH_MAX ? -1 : (int)dir;
}

static inline bool name_is_taken(const struct tree *t, int parent, const char *name)
{
    for (size_t i = 0; i < NODES_MAX; i++)
        if (t->nodes[i].there && t->nodes[i].parent == parent && strcmp(t->nodes[i].name, name) == 0)
            return true;
    return false;
}

static inline void give_name(struct tree *t, size_t i, int parent, const char *wish)
{
    char name[NAME_SPACE];
    (void)snprintf(name, sizeof(name), "%.10s", wish);
    for (unsigned k = 0; name_is_taken(t, parent, name); k++)
        (void)snprintf(name, sizeof(name), "%.8s.%u", wish, k);
    memcpy(t->nodes[i].name, name, NAME_SPACE);
    t->nodes[i].parent = parent;
}

/* NODES_MAX if the tree is full. */
static inline size_t add_node(struct tree *t, int parent, const char *wish, enum node_kind kind, uint64_t size, uint64_t seed)
{
    size_t i = 0, inode = 0;
    while (i < NODES_MAX && t->nodes[i].there)
        i++;
    while (inode < NODES_MAX && link_count(t, inode) > 0)
        inode++;
    if (i == NODES_MAX)
        return i;
    t->nodes[i] = (struct node){ .inode = inode };
    give_name(t, i, parent, wish);
    t->nodes[i].there = true;
    t->inodes[inode] = (struct inode){ .kind = kind, .size = size, .seed = seed, .mtime = ++t->clock, .mode = 0644,
                                        .xattrs = seed % 2 ? (unsigned)(seed / 2 % 16) : 0 };
    return i;
}

static inline void new_name(struct tree *t, uint64_t pick, char out[NAME_SPACE])
{
    (void)snprintf(out, NAME_SPACE, "%c%02u", (char)('a' + pick % 26), (unsigned)(++t->names % 100));
}

static inline void remove_node(struct tree *t, size_t i)
{
    bool gone[NODES_MAX] = { false };
    for (size_t k = 0; k < NODES_MAX; k++)
        gone[k] = t->nodes[k].there && is_below(t, k, i);
    for (size_t k = 0; k < NODES_MAX; k++)
        t->nodes[k].there &= !gone[k];
}

/* ---- edits ---- */

static inline void edit_creation(struct tree *t, const struct edit *e, size_t *ret)
{
    char name[NAME_SPACE];
    const size_t beside = pick_node(t, NODE_FILE, false, e->pick);
    const enum node_kind kind = e->op == EDIT_MKDIR ? NODE_DIR : e->op == EDIT_OTHER ? NODE_OTHER : NODE_FILE;
    int parent = pick_parent(t, e->other);
    new_name(t, e->pick, name);
    if (e->op == EDIT_CREATE_NEXT_TO && beside < NODES_MAX) { /* sorts right behind it */
        (void)snprintf(name, sizeof(name), "%.8s~", t->nodes[beside].name);
        parent = t->nodes[beside].parent;
    }
    *ret = add_node(t, parent, name, kind, kind == NODE_FILE ? e->size : 0, e->seed);
}

static inline void edit_link(struct tree *t, const struct edit *e, size_t *ret)
{
    char name[NAME_SPACE];
    const size_t file = pick_node(t, NODE_FILE, false, e->pick);
    if (file == NODES_MAX)
        return;
    new_name(t, e->seed, name);
    *ret = add_node(t, pick_parent(t, e->other), name, NODE_FILE, 0, 0);
    if (*ret < NODES_MAX)
        t->nodes[*ret].inode = t->nodes[file].inode;
}

static inline void edit_names(struct tree *t, const struct edit *e, size_t i)
{
    char name[NAME_SPACE];
    const int parent = e->op == EDIT_MOVE ? pick_parent(t, e->other) : t->nodes[i].parent;
    if (parent >= 0 && (is_below(t, (size_t)parent, i) || node_depth(t, i) + node_depth(t, (size_t)parent) > DEPTH_MAX))
        return;
    new_name(t, e->seed, name);
    t->nodes[i].there = false;
    give_name(t, i, parent, e->op == EDIT_MOVE ? t->nodes[i].name : name);
    t->nodes[i].there = true;
}

static inline void edit_to_dir(struct tree *t, const struct edit *e, size_t i)
{
    const struct node was = t->nodes[i];
    t->nodes[i].there = false;
    const size_t dir = add_node(t, was.parent, was.name, NODE_DIR, 0, 0);
    if (dir < NODES_MAX)
        (void)add_node(t, (int)dir, "in", NODE_FILE, e->size, e->seed);
}

/* Content and attributes of a file. The hidden ones keep the time: only the size can give them away. */
static inline void edit_inode(struct tree *t, const struct edit *e, struct inode *in)
{
    const bool hidden = e->op == EDIT_HIDDEN_CONTENT || e->op == EDIT_HIDDEN_SIZE;
    if (e->op == EDIT_REWRITE || e->op == EDIT_HIDDEN_CONTENT)
        in->seed = e->seed;
    else if (e->op == EDIT_GROW)
        in->size += 1 + e->size % 3000;
    else if (e->op == EDIT_SHRINK)
        in->size = in->size ? e->size % in->size : 0;
    else if (e->op == EDIT_HIDDEN_SIZE)
        in->size = e->size;
    else if (e->op == EDIT_CHMOD)
        in->mode ^= 0111;
    else if (e->op == EDIT_CHOWN)
        in->uid++;
    else if (e->op == EDIT_XATTR_VALUE)
        in->xattr_value++;
    else if (e->op == EDIT_XATTR_SET)
        in->xattrs ^= 1u << (e->other % XATTRS_MAX) | (unsigned)(e->seed % 2) << (e->pick % XATTRS_MAX); /* one, or one for another */
    if (!hidden && (e->op == EDIT_REWRITE || e->op == EDIT_GROW || e->op == EDIT_SHRINK || e->op == EDIT_TOUCH))
        in->mtime = ++t->clock;
}

static inline void edit_apply(struct tree *t, const struct edit *e)
{
    const bool any = e->op == EDIT_RENAME || e->op == EDIT_MOVE || e->op == EDIT_DELETE || e->op == EDIT_EXCLUDE;
    char path[PATH_SPACE] = "";
    size_t i = pick_node(t, NODE_FILE, any, e->pick);
    if (e->op == EDIT_DAMAGE)
        return;
    if (e->op <= EDIT_OTHER)
        edit_creation(t, e, &i);
    else if (e->op == EDIT_LINK)
        edit_link(t, e, &i);
    if (i < NODES_MAX)
        node_path(t, i, path);
    if (t->trace)
        fprintf(t->trace, "    %s %s", EDIT_NAMES[e->op], path);
    if (i < NODES_MAX && (e->op == EDIT_RENAME || e->op == EDIT_MOVE)) {
        edit_names(t, e, i);
        node_path(t, i, path);
        if (t->trace)
            fprintf(t->trace, " -> %s", path);
    } else if (i < NODES_MAX && e->op == EDIT_DELETE) {
        remove_node(t, i);
    } else if (i < NODES_MAX && e->op == EDIT_EXCLUDE) {
        t->nodes[i].excluded = !t->nodes[i].excluded;
    } else if (i < NODES_MAX && e->op == EDIT_FILE_TO_DIR) {
        edit_to_dir(t, e, i);
    } else if (i < NODES_MAX && e->op > EDIT_LINK) {
        edit_inode(t, e, &t->inodes[t->nodes[i].inode]);
    }
    if (t->trace && i < NODES_MAX)
        fprintf(t->trace, "%s (%" PRIu64 " bytes, content %" PRIu64 ")\n", "", t->inodes[t->nodes[i].inode].size,
                t->inodes[t->nodes[i].inode].seed);
    else if (t->trace)
        fprintf(t->trace, " (nothing fits)\n");
}

/* ---- the walk: what a backup sees, in archive order [CDM-073] ---- */

enum walk_kind { WALK_FILE, WALK_DIR, WALK_DIR_END, WALK_OTHER };

struct walk_entry {
    enum walk_kind kind;
    char path[PATH_SPACE];
    struct inode in;
    size_t ino;
    uint64_t links;
};

struct walk {
    struct walk_entry entries[2 * NODES_MAX];
    size_t nr;
};

static inline void walk_below(const struct tree *t, int parent, struct walk *out)
{
    const char *last = "";
    for (;;) { /* the next name in byte order, again and again */
        size_t next = NODES_MAX;
        for (size_t i = 0; i < NODES_MAX; i++)
            if (t->nodes[i].there && !t->nodes[i].excluded && t->nodes[i].parent == parent &&
                strcmp(t->nodes[i].name, last) > 0 &&
                (next == NODES_MAX || strcmp(t->nodes[i].name, t->nodes[next].name) < 0))
                next = i;
        if (next == NODES_MAX)
            return;
        last = t->nodes[next].name;
        struct walk_entry *e = &out->entries[out->nr++];
        const size_t ino = t->nodes[next].inode;
        *e = (struct walk_entry){ .in = t->inodes[ino], .ino = ino, .links = link_count(t, ino) };
        e->kind = e->in.kind == NODE_DIR ? WALK_DIR : e->in.kind == NODE_FILE ? WALK_FILE : WALK_OTHER;
        node_path(t, next, e->path);
        if (e->kind != WALK_DIR)
            continue;
        walk_below(t, (int)next, out);
        struct walk_entry *end = &out->entries[out->nr++];
        *end = (struct walk_entry){ .kind = WALK_DIR_END };
        memcpy(end->path, e->path, PATH_SPACE);
    }
}

/* What the archive says about it. The arrays are the caller's. */
static inline struct pbr_pxar_meta meta_of_inode(const struct inode *in, struct pbr_pxar_xattr xattrs[XATTRS_MAX],
                                                 uint8_t value[8])
{
    static const char *const NAMES[XATTRS_MAX] = { "user.a", "user.b", "user.c", "user.d" };
    struct pbr_pxar_meta m = { .mode = PBR_MODE_REG | in->mode, .uid = in->uid, .mtime_s = (int64_t)in->mtime };
    memcpy(value, &in->xattr_value, 8);
    for (size_t i = 0; i < XATTRS_MAX; i++)
        if (in->xattrs & 1u << i)
            xattrs[m.xattr_nr++] = (struct pbr_pxar_xattr){ pbr_span_str(NAMES[i]), pbr_span(value, 8) };
    m.xattrs = xattrs;
    return m;
}

#endif
