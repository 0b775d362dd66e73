// An independent witness for the probes idioms and compress, in C++: prints "name ns", each the lower
// quartile of 25 samples of about 0.3 ms.
// Usage: idioms FILE.json FILE.text: blocks of 1 KB for Snappy, as many as the files hold.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <random>
#include <snappy.h>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

static double now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static std::mt19937_64 rng(7);

static void measure(const char* name, uint64_t ops, const std::function<void()>& prepare,
                    const std::function<void(uint64_t)>& work) {
    std::vector<double> samples;
    for (int i = 0; i < 27; i++) {
        prepare();
        double start = now();
        work(ops);
        if (i >= 2) samples.push_back((now() - start) / ops);
    }
    std::sort(samples.begin(), samples.end());
    printf("%s %.4f\n", name, samples[samples.size() / 4]);
}

struct Base {
    virtual ~Base() = default;
    virtual uint64_t step(uint64_t x, uint8_t n) const = 0;
};
template <int N> struct Derived : Base {
    __attribute__((noinline)) uint64_t step(uint64_t x, uint8_t n) const override { return (x + n) ^ (N * 40503 + 77); }
};
template <int... N> static std::vector<std::unique_ptr<Base>> objects(std::integer_sequence<int, N...>) {
    std::vector<std::unique_ptr<Base>> all;
    (all.push_back(std::make_unique<Derived<N>>()), ...);
    return all;
}

static volatile uint64_t sink;

int main(int argc, char** argv) {
    std::thread([] {}).join();  // no shortcuts for programs with one thread
    auto nothing = [] {};

    auto all = objects(std::make_integer_sequence<int, 16>());
    std::vector<uint8_t> numbers(40000, 5);
    auto calls = [&](uint64_t ops) {
        uint64_t x = 0;
        for (uint64_t i = 0; i < ops; i++) x = all[numbers[i]]->step(x, numbers[i]);
        sink = x;
    };
    measure("call_virtual", numbers.size(), nothing, calls);
    measure("call_virtual_random", numbers.size(), [&] { for (auto& n : numbers) n = rng() % 16; }, calls);

    for (auto [name, size] : {std::pair{"alloc_64", 64}, std::pair{"alloc_4k", 4096}}) {
        std::vector<char*> live(64);
        for (auto& block : live) block = (char*)malloc(size);
        uint64_t made = 0, sum = 0;
        measure(name, 20000, nothing, [&, size = size](uint64_t ops) {
            for (uint64_t i = 0; i < ops; i++, made++) {
                char* block = (char*)malloc(size);
                asm volatile("" : "+r"(block) : : "memory");
                block[0] = made;
                char*& slot = live[made % 64];
                sum += slot[0];
                free(slot);
                slot = block;
            }
            sink = sum;
        });
    }

    const int side = 2000;
    std::vector<uint32_t> matrix(side * side);
    for (int i = 0; i < side * side; i++) matrix[i] = i;
    int row = 0, column = 0;
    // In turn, as both share the caches.
    std::vector<double> rows, columns;
    for (int i = 0; i < 40; i++) {
        double start = now();
        uint32_t sum = 0;
        for (int lines = 0; lines < 80; lines++, row = (row + 1) % side)
            for (int c = 0; c < side; c++) sum += matrix[row * side + c];
        sink = sum;
        rows.push_back((now() - start) / (80.0 * side));
        start = now();
        for (int lines = 0; lines < 80; lines++, column = (column + 1) % side)
            for (int r = 0; r < side; r++) sum += matrix[r * side + column];
        sink = sum;
        columns.push_back((now() - start) / (80.0 * side));
    }
    std::sort(rows.begin(), rows.end());
    std::sort(columns.begin(), columns.end());
    printf("rows %.4f\ncolumns %.4f\n", rows[rows.size() / 4], columns[columns.size() / 4]);

    int file = memfd_create("witness", 0);
    measure("write_1", 500, [&] { lseek(file, 0, SEEK_SET); }, [&](uint64_t ops) {
        for (uint64_t i = 0; i < ops; i++)
            if (write(file, "x", 1) != 1) abort();
    });

    for (int kind = 1; kind < argc; kind++) {
        FILE* in = fopen(argv[kind], "rb");
        if (!in) return perror(argv[kind]), 1;
        std::string data(256 << 10, 0);
        data.resize(fread(data.data(), 1, data.size(), in));
        std::string dot = strrchr(argv[kind], '.');
        size_t in_bytes = 0, out_bytes = 0, at = 0, block = 1024;
        std::vector<std::string> blocks, small;
        for (; at + block <= data.size(); at += block) {
            blocks.push_back(data.substr(at, block));
            small.emplace_back();
            snappy::Compress(blocks.back().data(), block, &small.back());
            in_bytes += block, out_bytes += small.back().size();
        }
        std::vector<char> to(snappy::MaxCompressedLength(block));
        size_t next = 0, length;
        measure(("compress" + dot).c_str(), blocks.size(), nothing, [&](uint64_t ops) {
            for (uint64_t i = 0; i < ops; i++, next = (next + 1) % blocks.size())
                snappy::RawCompress(blocks[next].data(), block, to.data(), &length);
        });
        measure(("decompress" + dot).c_str(), 4 * blocks.size(), nothing, [&](uint64_t ops) {
            for (uint64_t i = 0; i < ops; i++, next = (next + 1) % blocks.size())
                if (!snappy::RawUncompress(small[next].data(), small[next].size(), to.data())) abort();
        });
        printf("ratio%s %.4f\n", dot.c_str(), (double)in_bytes / out_bytes);
    }
}
