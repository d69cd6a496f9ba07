// The Python module. Everything that comes from Python is checked here.

#include <Python.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#if __has_include(<cxxabi.h>)
#include <cxxabi.h>
#endif

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

#include "dispatch.h"
#include "encoder.h"
#include "pass.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace crossrank;

namespace {

using Array = nb::ndarray<nb::ro>;

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

std::string str(std::int64_t n) { return std::to_string(n); }

nb::object take(nb::dict& settings, const char* key) {
    if (!settings.contains(key)) fail("config lacks " + std::string(key));
    nb::object value = settings[key];
    nb::del(settings[key]);
    return value;
}

void nothing_left(const nb::dict& settings) {
    if (settings.size())
        fail("config has an unknown key " +
             std::string(nb::str(nb::handle((*settings.begin()).first)).c_str()));
}

int integer(nb::dict& settings, const char* key, int lowest) {
    constexpr std::int64_t highest = 1 << 20;
    std::int64_t value;
    if (!nb::try_cast(take(settings, key), value) || value < lowest || value > highest)
        fail("config " + std::string(key) + " must be an integer from " + str(lowest) + " to " +
             str(highest));
    return int(value);
}

bool boolean(nb::dict& settings, const char* key) {
    const nb::object value = take(settings, key);
    if (!nb::isinstance<nb::bool_>(value)) fail("config " + std::string(key) + " must be a bool");
    return nb::cast<bool>(value);
}

float epsilon(nb::dict& settings, const char* key) {
    double eps = 0;
    if (!nb::try_cast(take(settings, key), eps) || !(eps > 0) || !std::isfinite(eps))
        fail("config " + std::string(key) + " must be a positive number");
    return float(eps);
}

Activation activation(nb::dict& settings, const char* key) {
    std::string name;
    nb::try_cast(take(settings, key), name);
    if (name == "none") return Activation::none;
    if (name == "gelu") return Activation::gelu;
    if (name == "gelu_tanh") return Activation::gelu_tanh;
    if (name == "relu") return Activation::relu;
    if (name == "tanh") return Activation::tanh;
    fail("config " + std::string(key) + " must be gelu, gelu_tanh, relu, tanh or none, not '" +
         name + "'");
}

Pooling pooling(nb::dict& settings) {
    std::string name;
    nb::try_cast(take(settings, "pooling"), name);
    if (name == "first") return Pooling::first;
    if (name == "mean") return Pooling::mean;
    fail("config pooling must be first or mean, not '" + name + "'");
}

std::vector<Sight> layers(nb::dict& settings) {
    std::vector<std::pair<double, int>> given;
    if (!nb::try_cast(take(settings, "layers"), given) || given.empty())
        fail("config layers must be a list of pairs: theta or 0, and window");
    std::vector<Sight> layers;
    for (const auto& [theta, window] : given) {
        if (!(theta >= 0) || !std::isfinite(theta) || (theta > 0) != (given[0].first > 0))
            fail("config layers has theta " + std::to_string(theta) +
                 ": positive numbers, or 0 in all of them");
        if (window < 0) fail("config layers has window " + str(window));
        layers.push_back({theta, window});
    }
    return layers;
}

std::vector<HeadStep> head(nb::dict& settings, int columns) {
    const nb::object given = take(settings, "head");
    std::vector<HeadStep> steps;
    if (!nb::isinstance<nb::list>(given)) fail("config head must be a list");
    for (nb::handle item : nb::list(given)) {
        if (!nb::isinstance<nb::dict>(item)) fail("config head must be a list of dicts");
        nb::dict step;
        step.update(nb::cast<nb::dict>(item));
        const bool norm = step.contains("norm_eps");
        const bool bias = boolean(step, "bias");
        if (norm) {
            steps.push_back({true, columns, Activation::none, epsilon(step, "norm_eps"), bias});
        } else {
            columns = integer(step, "out", 1);
            steps.push_back({false, columns, activation(step, "activation"), 0, bias});
        }
        nothing_left(step);
    }
    if (steps.empty()) fail("config head is empty");
    return steps;
}

Config parse_config(const nb::dict& given) {
    nb::dict settings;
    settings.update(given);
    Config c{
        .hidden = integer(settings, "hidden", 1),
        .heads = integer(settings, "heads", 1),
        .intermediate = integer(settings, "intermediate", 1),
        .activation = activation(settings, "activation"),
        .norm_eps = epsilon(settings, "norm_eps"),
        .positions = integer(settings, "positions", 1),
        .position_offset = integer(settings, "position_offset", 0),
        .pad_id = integer(settings, "pad_id", -1),
        .segments = integer(settings, "segments", 0),
        .norm_first = boolean(settings, "norm_first"),
        .gated = boolean(settings, "gated"),
        .attention_bias = boolean(settings, "attention_bias"),
        .ffn_bias = boolean(settings, "ffn_bias"),
        .norm_bias = boolean(settings, "norm_bias"),
        .layers = layers(settings),
        .pooling = pooling(settings),
        .head = {},
    };
    c.head = head(settings, c.hidden);
    if (c.hidden % c.heads)
        fail("config hidden " + str(c.hidden) + " is not a multiple of heads " + str(c.heads));
    if (c.position_offset > 0 && c.pad_id >= 0 && c.position_offset != c.pad_id + 1)
        fail("config position_offset " + str(c.position_offset) + " does not follow pad_id " +
             str(c.pad_id));
    if (c.rotary() && (c.hidden / c.heads % 2 || c.position_offset))
        fail("config has rotary positions, which need an even number of columns in each of " +
             str(c.heads) + " heads and no position_offset");
    nothing_left(settings);
    return c;
}

Array contiguous(nb::handle object, const std::string& name) {
    Array array;
    if (!nb::try_cast(object, array) || array.device_type() != nb::device::cpu::value)
        fail(name + " is not an array in CPU memory");
    std::int64_t expected = 1;
    for (std::size_t i = array.ndim(); i-- > 0; expected *= std::int64_t(array.shape(i)))
        if (array.shape(i) > 1 && array.stride(i) != expected)
            fail(name + " is not C-contiguous");
    return array;
}

DType weight_type(const Array& array, const std::string& name) {
    const auto is = [&](nb::dlpack::dtype_code code, int bits) {
        return array.dtype().code == std::uint8_t(code) && array.dtype().bits == bits;
    };
    if (is(nb::dlpack::dtype_code::Float, 32)) return DType::f32;
    if (is(nb::dlpack::dtype_code::Float, 16)) return DType::f16;
    if (is(nb::dlpack::dtype_code::UInt, 16)) return DType::bf16;
    fail("tensor " + name + " must be float32, float16, or uint16 holding bfloat16");
}

// Holds on to the array it looks at.
struct Int32Vector {
    Int32Vector(nb::handle object, const std::string& name) : array(contiguous(object, name)) {
        if (array.dtype() != nb::dtype<std::int32_t>() || array.ndim() != 1)
            fail(name + " must be a one-dimensional int32 array");
    }
    std::span<const std::int32_t> values() const {
        return {static_cast<const std::int32_t*>(array.data()), array.shape(0)};
    }
    Array array;
};

void check_ids(std::span<const std::int32_t> ids, std::size_t limit, const std::string& name) {
    for (std::size_t i = 0; i < ids.size(); ++i)
        if (ids[i] < 0 || std::size_t(ids[i]) >= limit)
            fail(name + "[" + str(i) + "] is " + str(ids[i]) + ", outside 0 to " + str(limit - 1));
}

void check_batch(const Batch& batch, const Encoder& encoder) {
    const auto& offsets = batch.offsets;
    const std::int64_t tokens = batch.ids.size();
    const Config& config = encoder.config();
    const std::int64_t longest = std::int64_t(config.positions) - config.position_offset;
    if (batch.type_ids.size() != batch.ids.size())
        fail("type_ids has " + str(batch.type_ids.size()) + " tokens, ids has " + str(tokens));
    if (offsets.empty()) fail("offsets is empty: it holds one more than the rows");
    if (offsets.front() != 0) fail("offsets starts at " + str(offsets.front()) + ", not at 0");
    if (offsets.back() != tokens)
        fail("offsets ends at " + str(offsets.back()) + ", ids has " + str(tokens) + " tokens");
    for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
        const std::int64_t length = std::int64_t(offsets[i + 1]) - offsets[i];
        if (length <= 0) fail("sequence " + str(i) + " has " + str(length) + " tokens");
        if (length > longest)
            fail("sequence " + str(i) + " has " + str(length) + " tokens, the model takes " +
                 str(longest));
    }
    check_ids(batch.ids, encoder.weights().words.rows, "ids");
    check_ids(batch.type_ids, std::max(config.segments, 1), "type_ids");
}

// Ctrl-C, asked for now and then only: another Python thread may be slow to hand over the GIL.
std::function<void()> signal_poll() {
    using clock = std::chrono::steady_clock;
    return [last = clock::now()]() mutable {
        if (clock::now() - last < std::chrono::milliseconds(100)) return;
        const nb::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) throw nb::python_error();
        last = clock::now();
    };
}

// Releases the GIL for its lifetime. Where the interpreter ends meanwhile, Python ends the thread
// from inside when it asks for the GIL back, by unwinding it; no frame above could stand that, and
// the process would abort. So the thread stays here, until the process is gone.
class GilRelease {
public:
    GilRelease() : state_(PyEval_SaveThread()) {}
    GilRelease(const GilRelease&) = delete;
    GilRelease& operator=(const GilRelease&) = delete;
    ~GilRelease() {
#ifdef __GLIBCXX__
        try {
            PyEval_RestoreThread(state_);
        } catch (const abi::__forced_unwind&) {
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        }
#else
        PyEval_RestoreThread(state_);
#endif
    }

private:
    PyThreadState* state_;
};

void construct(Encoder* self, const nb::dict& settings, const nb::dict& weights,
               const std::string& isa, const std::string& precision, const std::string& packed) {
    const Kernels& body = choose_kernels(isa, precision);
    const Kernels& exact = choose_kernels(isa, "fp32");
    const Config config = parse_config(settings);
    TensorMap tensors;
    std::vector<Array> alive;
    for (const auto& [key, value] : weights) {
        const std::string name = nb::cast<std::string>(key);
        const Array& array = alive.emplace_back(contiguous(value, "tensor " + name));
        TensorView view{array.data(), weight_type(array, name), {}};
        for (std::size_t i = 0; i < array.ndim(); ++i) view.shape.push_back(array.shape(i));
        tensors.emplace(name, std::move(view));
    }
    const GilRelease release;  // packing a large model takes seconds
    if (!packed.empty()) {
        try {
            new (self) Encoder(config, tensors, body, exact, Archive(packed));
            return;
        } catch (const std::runtime_error&) {
            // There is no such file yet, or it does not fit: it is made anew.
        }
    }
    new (self) Encoder(config, tensors, body, exact);
    if (!packed.empty()) self->weights().memory.save(packed);
}

// A batch that was checked, and where its logits go.
struct Asked {
    Asked(const Encoder& encoder, nb::handle ids, nb::handle type_ids, nb::handle offsets)
        : tokens(ids, "ids"), types(type_ids, "type_ids"), ends(offsets, "offsets") {
        check_batch(batch(), encoder);
        rows = batch().sequences();
        labels = encoder.config().labels();
        logits = new float[std::max<std::size_t>(rows * labels, 1)];
        owner = nb::capsule(logits, [](void* p) noexcept { delete[] static_cast<float*>(p); });
    }
    Batch batch() const { return {tokens.values(), types.values(), ends.values()}; }
    nb::object answer() const {
        return nb::cast(nb::ndarray<nb::numpy, float, nb::ndim<2>>(logits, {rows, labels}, owner));
    }

    Int32Vector tokens, types, ends;
    std::size_t rows, labels;
    float* logits;
    nb::capsule owner;
};

void check_threads(int threads) {
    if (threads < 1) fail("threads is " + str(threads) + ", must be at least 1");
}

nb::object run(const Encoder& self, nb::handle ids, nb::handle type_ids, nb::handle offsets,
               int threads, bool interruptible) {
    check_threads(threads);
    const Asked asked(self, ids, type_ids, offsets);
    {
        const GilRelease release;
        // Signals are the main thread's business; for others there is nothing to ask for.
        const std::function<void()> nothing = [] {};
        self.run(asked.batch(), threads, interruptible ? signal_poll() : nothing, asked.logits);
    }
    return asked.answer();
}

// A pass with all that it looks at.
class Begun {
public:
    Begun(const nb::object& encoder, nb::handle ids, nb::handle type_ids, nb::handle offsets, int threads,
          const Begun* after)
        : encoder_(encoder),
          asked_(nb::cast<const Encoder&>(encoder_), ids, type_ids, offsets) {
        check_threads(threads);
        pass_.emplace(nb::cast<const Encoder&>(encoder_), asked_.batch(), threads, asked_.logits,
                      after ? &*after->pass_ : nullptr);
    }
    ~Begun() {
        const GilRelease release;
        pass_.reset();
    }
    nb::object wait(bool interruptible) {
        {
            const GilRelease release;
            const std::function<void()> poll = interruptible ? signal_poll() : [] {};
            while (!pass_->wait_for(std::chrono::milliseconds(100))) poll();
        }
        return asked_.answer();
    }

private:
    nb::object encoder_;
    Asked asked_;
    std::optional<Pass> pass_;
};

}  // namespace

NB_MODULE(_native, module) {
    nb::set_leak_warnings(false);  // a daemon thread may hold an encoder when the process ends
    module.doc() = "Cross-encoder inference on the CPU.";
    module.def("isas", [] {
        std::vector<std::string> names;
        for (const Kernels* kernels : available_kernels())
            if (std::find(names.begin(), names.end(), kernels->isa) == names.end())
                names.push_back(kernels->isa);
        return names;
    });
    module.def("precisions", [](const std::string& isa) {
        std::vector<std::string> names;
        for (const char* precision : {"int8", "bf16", "fp32"})
            if (has_kernels(isa, precision)) names.push_back(precision);
        return names;
    }, "isa"_a = "auto");
    nb::class_<Encoder>(module, "Encoder")
        .def("__init__", &construct, "config"_a, "weights"_a, "isa"_a = "auto",
             "precision"_a = "fp32", "packed"_a = "")
        .def_prop_ro("isa", [](const Encoder& self) { return self.kernels().isa; })
        .def_prop_ro("precision", [](const Encoder& self) { return self.kernels().precision; })
        .def_prop_ro("weight_bytes", [](const Encoder& self) { return self.weights().memory.bytes(); })
        .def_prop_ro("mapped", [](const Encoder& self) { return self.weights().memory.mapped(); })
        .def("run", &run, "ids"_a, "type_ids"_a, "offsets"_a, "threads"_a,
             "interruptible"_a = false);
    nb::class_<Begun>(module, "Begun", nb::is_weak_referenceable())
        .def(nb::init<const nb::object&, nb::handle, nb::handle, nb::handle, int, const Begun*>(),
             "encoder"_a, "ids"_a, "type_ids"_a, "offsets"_a, "threads"_a,
             "after"_a = nb::none())
        .def("wait", &Begun::wait, "interruptible"_a = false);
}
