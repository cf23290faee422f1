// The three rules of admission.
#include "admission.hpp"

#include <algorithm>
#include <cmath>

#include "batch_marks.hpp"

namespace emberline {

namespace {

// Monolith's constant: 95 % of the keys are in after `threshold` occurrences.
constexpr double kStillOut = 0.05;

u32 decayed(u32 count, double factor) {
  return static_cast<u32>(std::floor(static_cast<double>(count) * factor));
}

}  // namespace

Admission::Admission(const AdmissionConfig& config, u64 hash_mask)
    : config_(config),
      candidates_(hash_mask),
      cells_(config.kind == AdmissionKind::sketch
                 ? static_cast<std::size_t>(config.width * config.depth)
                 : 0),
      survival_(whole_root(kStillOut, config.threshold)) {}

bool Admission::admits(i64 key, u32 occurrences, u64* total) const {
  *total = occurrences;
  if (config_.kind == AdmissionKind::count) {
    *total += candidates_.count(key);
  } else if (config_.kind == AdmissionKind::sketch) {
    *total += sketch_estimate(cells_.data(), key, config_.seed, config_.width, config_.depth);
  } else {
    const double chance =
        config_.equal ? 1.0 - whole_power(survival_, occurrences)
                      : static_cast<double>(occurrences) / static_cast<double>(config_.threshold);
    return admission_draw(config_.seed, key, step_) < chance;
  }
  return *total >= config_.threshold;
}

void Admission::decide_absent() {
  i64 new_candidates = 0;
  for (Absent& absent : absent_) {
    absent.admitted = admits(absent.key, absent.occurrences, &absent.total);
    new_candidates += !absent.admitted && absent.total == absent.occurrences;
  }
  if (config_.kind == AdmissionKind::count) candidates_.reserve(new_candidates);
}

void Admission::decide(const i64* keys, const u32* occurrences, i64 count, u32* admitted) {
  absent_.clear();
  for (i64 i = 0; i < count; ++i) absent_.push_back({keys[i], occurrences[i], false, 0});
  decide_absent();
  for (const Absent& absent : absent_) *admitted++ = absent.admitted;
}

i64 Admission::decide(const i64* keys, i64 count, i64* rows) {
  absent_.clear();
  numbers_.resize(static_cast<std::size_t>(count));
  for (i64 i = 0; i < count; ++i) {
    if (rows[i] == kFirst) {
      numbers_[static_cast<std::size_t>(i)] = static_cast<u32>(absent_.size());
      absent_.push_back({keys[i], 1, false, 0});
    } else if (rows[i] < kFirst) {
      ++absent_[numbers_[static_cast<std::size_t>(repeats(rows[i]))]].occurrences;
    }
  }
  decide_absent();
  i64 refused = 0;
  for (i64 i = 0; i < count; ++i) {
    if (rows[i] >= 0) continue;
    const i64 first = rows[i] == kFirst ? i : repeats(rows[i]);
    if (absent_[numbers_[static_cast<std::size_t>(first)]].admitted) continue;
    rows[i] = kRefused;
    ++refused;
  }
  return refused;
}

void Admission::commit() {
  ++step_;
  for (const Absent& absent : absent_) {
    if (config_.kind == AdmissionKind::count) {
      if (absent.admitted) {
        candidates_.erase(absent.key);
      } else {
        candidates_.set(absent.key, static_cast<u32>(absent.total));
      }
    } else if (config_.kind == AdmissionKind::sketch && !absent.admitted) {
      // Conservative update (Estan, Varghese 2002): no cell is raised above the new estimate. The
      // estimates are those from before the batch and a maximum has no order, so keys that share
      // cells may come in any order. Below the threshold, so a byte holds it.
      for (i64 line = 0; line < config_.depth; ++line) {
        u8& cell = cells_[static_cast<std::size_t>(
            sketch_cell(absent.key, line, config_.seed, config_.width))];
        cell = std::max(cell, static_cast<u8>(absent.total));
      }
    }
  }
}

void Admission::forget(i64 key) {
  if (config_.kind == AdmissionKind::count) candidates_.erase(key);
}

void Admission::decay(double factor) {
  candidates_.update([=](u32 count) { return decayed(count, factor); });
  for (u8& cell : cells_) cell = static_cast<u8>(decayed(cell, factor));
}

void Admission::clear() {
  candidates_.clear();
  std::fill(cells_.begin(), cells_.end(), u8{0});
  step_ = 0;
}

AdmissionState Admission::state() const {
  AdmissionState state;
  candidates_.each([&](i64 key, u32) { state.keys.push_back(key); });
  std::sort(state.keys.begin(), state.keys.end());
  for (const i64 key : state.keys) state.counts.push_back(candidates_.count(key));
  state.cells = cells_;
  state.step = step_;
  return state;
}

void Admission::set_state(const AdmissionState& state) {
  Candidates fresh = candidates_;
  fresh.clear();
  fresh.reserve(static_cast<i64>(state.keys.size()));
  for (std::size_t i = 0; i < state.keys.size(); ++i) fresh.set(state.keys[i], state.counts[i]);
  candidates_ = std::move(fresh);
  if (!state.cells.empty()) std::copy(state.cells.begin(), state.cells.end(), cells_.begin());
  step_ = state.step;
}

i64 Admission::memory_bytes() const {
  return candidates_.memory_bytes() + static_cast<i64>(cells_.capacity());
}

i64 Admission::scratch_bytes() const {
  return static_cast<i64>(absent_.capacity() * sizeof(Absent) + numbers_.capacity() * 4);
}

const char* Admission::check() const {
  bool sound = true;
  i64 size = 0;
  candidates_.each([&](i64 key, u32 count) {
    ++size;
    sound = sound && candidates_.count(key) == count && count < config_.threshold;
  });
  if (!sound) return "a candidate has a wrong count or is not found";
  if (size != candidates_.size()) return "the count of candidates is wrong";
  for (const u8 cell : cells_) {
    if (cell >= config_.threshold) return "a cell of the sketch has reached the threshold";
  }
  return "";
}

}  // namespace emberline
