// Stands in for a header that the archive of Ollama's Go module lacks, because Go leaves out folders named vendor.
// It reads no audio: every call fails.
#pragma once
#include <stddef.h>
typedef int ma_result;
typedef unsigned long long ma_uint64;
enum { MA_SUCCESS = 0, ma_format_f32 = 5 };
struct ma_decoder_config {};
struct ma_decoder {};
static inline ma_decoder_config ma_decoder_config_init(int, int, int) { return {}; }
static inline ma_result ma_decoder_init_memory(const void *, size_t, ma_decoder_config *, ma_decoder *) { return -1; }
static inline ma_result ma_decoder_get_length_in_pcm_frames(ma_decoder *, ma_uint64 *) { return -1; }
static inline ma_result ma_decoder_read_pcm_frames(ma_decoder *, void *, ma_uint64, ma_uint64 *) { return -1; }
static inline void ma_decoder_uninit(ma_decoder *) {}
