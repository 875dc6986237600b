/* All that a kernel asks of the C library, for a module that imports nothing. A bump allocator: `free` does nothing,
   and whoever calls releases everything above a mark once the results are read. */
typedef __SIZE_TYPE__ size_t;

#define INFINITY __builtin_inf()
#define NAN __builtin_nan("")
#define fabs __builtin_fabs

#define PAGE 65536ul
extern unsigned char __heap_base; /* set by the linker: where the data and the stack end */
static unsigned char *top = &__heap_base;

/* `size` bytes at the next multiple of 64; 0 where the memory cannot grow that far. It always holds whole pages, so
   `begin` lies within it. */
void *malloc(size_t size) {
  const size_t begin = ((size_t)top + 63) & ~63ul, room = __builtin_wasm_memory_size(0) * PAGE - begin;
  if (size > room && __builtin_wasm_memory_grow(0, (size - room - 1) / PAGE + 1) == ~0ul) return 0;
  top = (unsigned char *)begin + size;
  return (void *)begin;
}
void free(void *at) { (void)at; }
int posix_memalign(void **at, size_t alignment, size_t size) {
  (void)alignment; /* the solver asks for 64 */
  return !(*at = malloc(size));
}

/* Compilers may call these for any text, a copy of a record included. */
void *memset(void *to, int byte, size_t size) {
  for (unsigned char *at = to; size--;) *at++ = (unsigned char)byte;
  return to;
}
void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  const unsigned char *next = from;
  for (unsigned char *at = to; size--;) *at++ = *next++;
  return to;
}

void *reserve(size_t size) { return malloc(size); }
void *mark(void) { return top; }
void release(void *at) { top = at; }
