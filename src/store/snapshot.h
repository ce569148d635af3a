/* SPDX-License-Identifier: MIT */
/* What lies in a datastore besides chunks: namespaces, groups, snapshots, their files and manifests; listing and changing.
 *
 *   [ns/<name>/]*host|vm|ct/<id>/    group                              [IDX-107 .. IDX-110]
 *     owner                          authentication id and a newline    [IDX-111]
 *     notes                          optional text                      [IDX-113]
 *     <YYYY-MM-DDTHH:MM:SSZ>/        snapshot
 *       index.json.blob              manifest: the snapshot is finished [IDX-116]
 *       *.didx *.fidx *.blob         files                              [IDX-115]
 *       .protected                   optional, empty                    [IDX-114]
 *
 * A namespace is a text such as "a/b"; "" is the root. Directory entries that do not fit the patterns are ignored.
 * Lists come sorted: types, ids and names bytewise, times ascending (the original's order is undefined).
 * Manifests and indexes on disk are untrusted: what cannot be read counts as unfinished in lists [API-097].
 * Thread: as the store. */
#ifndef PBR_STORE_SNAPSHOT_H
#define PBR_STORE_SNAPSHOT_H

#include "chunk/known.h"
#include "format/index.h"
#include "format/manifest.h"
#include "store/store.h"

/* ---- listing ---- */

struct pbr_store_file {
    char name[PBR_ARCHIVE_NAME_MAX + 1];
    bool has_info;                  /* known from the manifest, or the manifest itself [API-093] */
    enum pbr_crypt_mode crypt_mode;
    uint64_t size;
};

struct pbr_store_snapshot {
    struct pbr_snapshot id;
    bool finished;          /* index.json.blob exists [IDX-116] */
    bool has_manifest;      /* ... and could be read: size and the members below are valid */
    bool is_protected;
    struct pbr_store_file *files;
    size_t file_nr;
    uint64_t size;          /* sum over the files [MAN-074] */
    char *owner;            /* authentication id */
    char *notes;            /* NULL if none; the first line is the comment [MAN-062] */
    char *fingerprint;      /* "aa:bb:..." or NULL */
    char *verify_state;     /* "ok", "failed" or NULL */
    char *verify_upid;      /* not NULL if verify_state is not */
};

struct pbr_store_snapshots {
    const struct pbr_env *env;
    struct pbr_store_snapshot *items;
    size_t nr, cap;
};

/* Snapshots of a namespace, of all groups or those of a type and/or id (NULL: any) [API-092]. Groups without readable
 * owner are left out [IDX-111]. Missing namespace: PBR_E_NOENT, text of API-096; missing group: an empty list.
 * The caller releases *ret (initialised on success only). */
PBR_MUST_USE int pbr_store_list_snapshots(struct pbr_store *s, const char *ns, const char *type, const char *id,
                                          struct pbr_store_snapshots *ret, struct pbr_diag *diag);
void pbr_store_snapshots_release(struct pbr_store_snapshots *l);

/* Files of one snapshot [API-097]: no or unreadable manifest and missing snapshot are errors with its texts.
 * ret->nr is 1 on success; the caller releases it. */
PBR_MUST_USE int pbr_store_list_files(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                      struct pbr_store_snapshots *ret, struct pbr_diag *diag);

struct pbr_store_group {
    struct pbr_group id;
    int64_t last_backup_s;  /* 0: no snapshot */
    uint64_t backup_nr;
    char *owner;
    char *notes;            /* of the group; NULL if none; the first line is the comment */
    struct pbr_store_file *files; /* names only, of the newest finished snapshot [API-090] */
    size_t file_nr;
};
struct pbr_store_groups {
    const struct pbr_env *env;
    struct pbr_store_group *items;
    size_t nr, cap;
};
PBR_MUST_USE int pbr_store_list_groups(struct pbr_store *s, const char *ns, struct pbr_store_groups *ret,
                                       struct pbr_diag *diag);
void pbr_store_groups_release(struct pbr_store_groups *l);

struct pbr_store_namespaces {
    const struct pbr_env *env;
    char **items;
    size_t nr, cap;
};
/* `parent` itself (also if it does not exist: API-114), then everything below it down to max_depth levels (0..7). */
PBR_MUST_USE int pbr_store_list_namespaces(struct pbr_store *s, const char *parent, unsigned max_depth,
                                           struct pbr_store_namespaces *ret, struct pbr_diag *diag);
void pbr_store_namespaces_release(struct pbr_store_namespaces *l);

/* Length of the first line of a text: what `comment` shows. */
size_t pbr_store_comment_len(const char *notes);

bool pbr_store_has_namespace(struct pbr_store *s, const char *ns);
bool pbr_store_has_group(struct pbr_store *s, const char *ns, const struct pbr_group *g);
bool pbr_store_has_snapshot(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap);

/* ---- files of a snapshot ---- */

/* Any *.didx, *.fidx, *.blob, opened for reading; the caller closes *ret_fd. Texts of RDR-020, RDR-023 (missing blob:
 * PBR_E_NOENT, status 404). */
PBR_MUST_USE int pbr_store_open_file(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                     const char *name, int *ret_fd, uint64_t *ret_size, struct pbr_diag *diag);

/* A whole index file in memory, parsed as the kind its name says. Borrowed by ix: release last. */
struct pbr_store_index {
    struct pbr_buf file;
    struct pbr_index ix;
};
/* Missing or malformed: texts of BKP-093, RDR-022. */
PBR_MUST_USE int pbr_store_load_index(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                      const char *name, struct pbr_store_index *ret, struct pbr_diag *diag);
void pbr_store_index_release(struct pbr_store_index *ix);

/* Adds all chunks of an index with end - start, truncated to 32 bit; the last one wins [IDX-074]: what a backup session
 * knows, what a reader session may fetch [RDR-022]. NOMEM, or LIMIT above PBR_STORE_KNOWN_MAX chunks. */
#define PBR_STORE_KNOWN_MAX (UINT64_C(1) << 26) /* 256 TiB at 4 MiB; 5 GiB of memory */
PBR_MUST_USE int pbr_store_known_add(struct pbr_known *k, const struct pbr_index *ix, struct pbr_diag *diag);

/* The manifest; *ret_raw_size (may be NULL) gets the length of the raw blob. Text: `unable to load blob '"..."' - ...`.
 * The caller releases *ret. */
PBR_MUST_USE int pbr_store_load_manifest(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                         struct pbr_manifest *ret, uint64_t *ret_raw_size, struct pbr_diag *diag);

/* `change` alters unprotected members of a freshly loaded manifest; the result replaces the file atomically, under the
 * manifest lock [MAN-068]. A failure of `change` is returned and nothing is written. */
PBR_MUST_USE int pbr_store_update_manifest(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                           int (*change)(void *ctx, struct pbr_manifest *m, struct pbr_diag *diag),
                                           void *ctx, struct pbr_diag *diag);

/* The log of a backup [MAN-081, MAN-082, API-113]: structure and CRC are checked, an existing one is an error. */
PBR_MUST_USE int pbr_store_put_log(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                   struct pbr_span raw, struct pbr_diag *diag);

/* ---- members of snapshots and groups ---- */

/* Texts that are not there read as "" . The caller frees *ret with pbr_free. */
PBR_MUST_USE int pbr_store_get_notes(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap, char **ret,
                                     struct pbr_diag *diag);
PBR_MUST_USE int pbr_store_set_notes(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                     const char *notes, struct pbr_diag *diag);
PBR_MUST_USE int pbr_store_get_group_notes(struct pbr_store *s, const char *ns, const struct pbr_group *g, char **ret,
                                           struct pbr_diag *diag);
PBR_MUST_USE int pbr_store_set_group_notes(struct pbr_store *s, const char *ns, const struct pbr_group *g,
                                           const char *notes, struct pbr_diag *diag);
bool pbr_store_is_protected(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap);
PBR_MUST_USE int pbr_store_set_protected(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                         bool on, struct pbr_diag *diag);
/* verify_state in the manifest [MAN-063]. */
PBR_MUST_USE int pbr_store_set_verify_state(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                            bool ok, const char *upid, struct pbr_diag *diag);
PBR_MUST_USE int pbr_store_get_owner(struct pbr_store *s, const char *ns, const struct pbr_group *g, char **ret,
                                     struct pbr_diag *diag);
PBR_MUST_USE int pbr_store_set_owner(struct pbr_store *s, const char *ns, const struct pbr_group *g, const char *owner,
                                     struct pbr_diag *diag);
/* May `auth_id` write to a group of `owner` [IDX-112, BKP-038]? The same, or owner is a token of the user auth_id. */
bool pbr_store_owner_allows(const char *owner, const char *auth_id);

/* ---- removing, namespaces ---- */

struct pbr_store_removed {
    uint64_t groups, snapshots, protected_snapshots;
};
/* Texts of API-105 (protected, missing, locked). The last snapshot takes the group along. */
PBR_MUST_USE int pbr_store_forget_snapshot(struct pbr_store *s, const char *ns, const struct pbr_snapshot *snap,
                                           struct pbr_diag *diag);
/* Everything but protected snapshots [API-106]; *ret is set also when protected ones remain (that is no error here).
 * Missing: PBR_E_NOENT with its text. */
PBR_MUST_USE int pbr_store_forget_group(struct pbr_store *s, const char *ns, const struct pbr_group *g,
                                        struct pbr_store_removed *ret, struct pbr_diag *diag);
/* `parent` must exist; an existing namespace is no error [API-114]. */
PBR_MUST_USE int pbr_store_create_namespace(struct pbr_store *s, const char *parent, const char *name,
                                            struct pbr_diag *diag);
/* The namespace and those below it; with delete_groups also the groups in them. PBR_E_PARTIAL (text of API-114) if
 * groups remain; a missing one removes nothing. *ret is set in both cases. The root loses its content only. */
PBR_MUST_USE int pbr_store_delete_namespace(struct pbr_store *s, const char *ns, bool delete_groups,
                                            struct pbr_store_removed *ret, struct pbr_diag *diag);

#endif
