// A Vulkan driver for tests: the one in LOST_DRIVER, until it has been given LOST_AFTER submissions. From then on its device is lost, as
// after a reset of the card or a driver that crashed.
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void (*function)(void);
typedef function (*lookup)(void *, const char *);
enum { DEVICE_LOST = -4 };

static atomic_long left;
static void *driver;
static lookup device_functions;
static int32_t (*submit)(void *, uint32_t, const void *, uint64_t);
static int32_t (*wait)(void *, const void *, uint64_t);
static int32_t (*value)(void *, uint64_t, uint64_t *);

static void *symbol(const char *name) {
  if (driver == NULL) {
    const char *path = getenv("LOST_DRIVER"), *after = getenv("LOST_AFTER");
    driver = dlopen(path == NULL ? "libvulkan_lvp.so" : path, RTLD_NOW | RTLD_LOCAL);
    left = after == NULL ? 0 : atol(after);
    if (driver == NULL) abort();
  }
  return dlsym(driver, name);
}

static int32_t lost_submit(void *queue, uint32_t count, const void *batches, uint64_t fence) {
  return atomic_fetch_sub(&left, 1) > 0 ? submit(queue, count, batches, fence) : DEVICE_LOST;
}
static int32_t lost_wait(void *device, const void *what, uint64_t timeout) {
  return left > 0 ? wait(device, what, timeout) : DEVICE_LOST;
}
static int32_t lost_value(void *device, uint64_t semaphore, uint64_t *out) {
  return left > 0 ? value(device, semaphore, out) : DEVICE_LOST;
}

static function device_function(void *device, const char *name) {
  function found = device_functions(device, name);
  if (strcmp(name, "vkQueueSubmit") == 0) { submit = (void *)found; return (function)lost_submit; }
  if (strncmp(name, "vkWaitSemaphores", 16) == 0 && found) { wait = (void *)found; return (function)lost_wait; }
  if (strncmp(name, "vkGetSemaphoreCounterValue", 26) == 0 && found) { value = (void *)found; return (function)lost_value; }
  return found;
}

static function instance_function(void *instance, const char *name) {
  function found = ((lookup)symbol("vk_icdGetInstanceProcAddr"))(instance, name);
  if (strcmp(name, "vkGetDeviceProcAddr") == 0 && found) { device_functions = (lookup)found; return (function)device_function; }
  return found;
}

function vk_icdGetInstanceProcAddr(void *instance, const char *name) { return instance_function(instance, name); }
function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
  lookup find = (lookup)symbol("vk_icdGetPhysicalDeviceProcAddr");
  return find == NULL ? NULL : find(instance, name);
}
int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
  int32_t (*negotiate)(uint32_t *) = (void *)symbol("vk_icdNegotiateLoaderICDInterfaceVersion");
  return negotiate == NULL ? 0 : negotiate(version);
}
