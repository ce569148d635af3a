/* SPDX-License-Identifier: MIT */
/* Every bound on untrusted input, each with its reason. Exceeding one is PBR_E_LIMIT, never a silent clip. */
#ifndef PBR_BASE_LIMITS_H
#define PBR_BASE_LIMITS_H

enum {
    PBR_NAME_MAX = 4096,             /* file name bytes in an archive (PXAR-071) */
    PBR_PATH_DEPTH_MAX = 4096,       /* directories below each other: a path of PATH_MAX has at most 2048; */
                                     /* archives of trees built by *at() calls can be deeper, memory stays small */
    PBR_PRELUDE_MAX = 16 << 20,      /* JSON of exclude patterns: as large as a whole blob may be */
    PBR_CHUNK_MAX = 16 << 20,        /* plain bytes of one chunk (BLOB-080) */
    PBR_BLOB_HDR_MAX = 44,           /* encrypted blob header (BLOB-004) */
    PBR_CHUNK_RAW_MAX = (16 << 20) + 44, /* raw chunk, raw blob upload (BLOB-080, BLOB-081) */
    PBR_BLOB_PLAIN_MAX = 128 << 20,  /* plain bytes of one blob file (BLOB-021) */
    PBR_INDEX_SIZE_MAX = 1 << 30,    /* bytes of one index file: 26 million chunks, 100 TiB at 4 MiB each */
    PBR_JSON_DEPTH_MAX = 128,        /* nesting of JSON input (MAN-003) */
    PBR_JSON_BODY_MAX = 524287,      /* request bodies with parameters (BKP-066) */
    PBR_REPLY_BODY_MAX = 64 << 20,   /* JSON answers read by the client: a long snapshot list */
    PBR_HEADER_LIST_MAX = 16384,     /* HTTP header bytes of one message (BKP-052) */
    PBR_URI_MAX = 3072,              /* REST path and query (API-003) */
    PBR_CATALOG_NAME_MAX = 4095,     /* name bytes in a catalog (CAT-043) */
    PBR_CATALOG_TABLE_MAX = 256 << 20, /* one catalog directory table: about 10 million names */
    PBR_PATTERNS_MAX = 1 << 20,      /* exclude patterns in force at a time */
    PBR_PATTERN_MAX = 64 << 10,      /* bytes of one pattern */
};

#define PBR_ENTRIES_MAX_DEFAULT 1048576u /* directory entries held in memory (CRT-003) */

#endif
