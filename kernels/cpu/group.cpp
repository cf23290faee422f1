// Many features on many tables in one call: tables side by side on the threads, or a table that
// has most of the keys on all of them. Neither changes a bit of any result.
#include "group.hpp"

#include <algorithm>

namespace emberline {

namespace {

constexpr i64 kSamples = 16;  // worked on at a time; their outputs stay in the nearest caches

Threads most_threads(const std::vector<Table*>& tables, int (*count)(const Table&)) {
  int most = 1;
  for (const Table* table : tables) most = std::max(most, count(*table));
  return Threads(most, 1);
}

}  // namespace

Group::Group(std::vector<Table*> tables, std::vector<GroupFeature> features,
             std::vector<std::vector<float>> defaults)
    : features_(std::move(features)),
      threads_(most_threads(tables, [](const Table& t) { return t.threads_.count(); })) {
  tables_.resize(tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    tables_[t].table = tables[t];
    tables_[t].fallback = std::move(defaults[t]);
  }
  for (std::size_t f = 0; f < features_.size(); ++f) {
    Member& member = tables_[static_cast<std::size_t>(features_[f].table)];
    member.features.push_back(f);
    columns_.push_back(width_);
    width_ += member.table->config_.dim;
  }
  first_keys_.resize(features_.size());
}

// The parts that `items` of any of the tables are worth.
i64 Group::parts_of(i64 items) const {
  i64 parts = 1;
  for (const Member& member : tables_) {
    parts = std::max(parts, member.table->threads_.parts(items));
  }
  return parts;
}

// Lay the keys out, table after table, and take the tables' mutexes. In the order of addresses:
// two groups that share tables must not wait for each other.
std::vector<std::unique_lock<std::mutex>> Group::begin_call(const std::vector<GroupKeys>& batch,
                                                            i64 samples) {
  kept_.clear();
  for (std::size_t f = 0; f < features_.size(); ++f) {
    const i64* offsets = batch[f].offsets;
    kept_.push_back(batch[f].count);
    if (offsets == nullptr) continue;
    try {
      check_offsets(offsets, samples, batch[f].count);
    } catch (const SegmentError& error) {
      throw SegmentError("feature '" + features_[f].name + "': " + error.what());
    }
    if (features_[f].max_length == kAnyLength) continue;
    kept_[f] = 0;
    for (i64 sample = 0; sample < samples; ++sample) kept_[f] += kept(f, offsets, sample);
  }
  total_ = 0;
  std::vector<Table*> order;
  for (Member& member : tables_) {
    member.begin = total_;
    member.count = 0;
    member.kept = 0;
    for (const std::size_t f : member.features) {
      first_keys_[f] = total_ + member.count;
      member.count += batch[f].count;
      member.kept += kept_[f];
    }
    member.error = nullptr;
    total_ += member.count;
    order.push_back(member.table);
  }
  std::sort(order.begin(), order.end(), std::less<Table*>());
  std::vector<std::unique_lock<std::mutex>> locks;
  for (Table* table : order) locks.emplace_back(table->mutex_);
  return locks;
}

// Call work(member) for each table; then throw what the first of them threw.
template <class Work>
void Group::for_each_table(const Work& work) {
  const auto guarded = [&](Member& member) {
    try {
      work(member);
    } catch (...) {  // thrown again below: which table's error it is must not depend on timing
      member.error = std::current_exception();
    }
  };
  std::vector<Member*> side_by_side;
  for (Member& member : tables_) {
    const bool dominates = member.count * threads_.count() > total_;
    if (dominates || member.table->threads_.parts(total_) == 1) {
      guarded(member);
    } else {
      side_by_side.push_back(&member);
    }
  }
  threads_.run(static_cast<i64>(side_by_side.size()), [&](i64 part, int) {
    guarded(*side_by_side[static_cast<std::size_t>(part)]);
  });
  for (const Member& member : tables_) {
    if (member.error) std::rethrow_exception(member.error);
  }
}

// The keys of all features of a table in a row, without the ignored ones; those of a single
// feature stay where they are.
void Group::join_keys(Member& member, const std::vector<GroupKeys>& batch, i64 samples) {
  if (member.features.size() == 1 && member.kept == member.count) {
    member.keys = batch[member.features[0]].keys;
    return;
  }
  i64* keys = member.keys_scratch.ensure(member.kept);
  member.keys = keys;
  for (const std::size_t f : member.features) {
    const auto [from, count, offsets, weights] = batch[f];
    if (kept_[f] == count) {
      keys = std::copy_n(from, count, keys);
      continue;
    }
    for (i64 sample = 0; sample < samples; ++sample) {
      keys = std::copy_n(from + offsets[sample], kept(f, offsets, sample), keys);
    }
  }
}

// From the rows of the keys that were looked up to those of all keys, in place; backwards, as
// rows only move up.
void Group::spread_rows(const Member& member, const std::vector<GroupKeys>& batch, i64 samples,
                        i64* rows) const {
  if (member.kept == member.count) return;
  const i64* from = rows + member.kept;
  i64* to = rows + member.count;
  for (auto f = member.features.rbegin(); f != member.features.rend(); ++f) {
    const auto [keys, count, offsets, weights] = batch[*f];
    if (kept_[*f] == count) {
      to = std::copy_backward(from - count, from, to);
      from -= count;
      continue;
    }
    for (i64 sample = samples - 1; sample >= 0; --sample) {
      const i64 length = kept(*f, offsets, sample);
      const i64 ignored = offsets[sample + 1] - offsets[sample] - length;
      to -= ignored;
      std::fill_n(to, ignored, i64{-1});
      to = std::copy_backward(from - length, from, to);
      from -= length;
    }
  }
}

// Write all features of a few samples before the next: the output comes line after line, where a
// feature alone would touch lines a sample apart, and each of them twice where it is not aligned.
void Group::gather(const std::vector<GroupKeys>& batch, i64 samples, const i64* rows,
                   MatrixView out) const {
  const i64 parts = std::min(parts_of(total_), std::max<i64>(samples, 1));
  threads_.run(parts, [&](i64 part, int) {
    const i64 last = samples * (part + 1) / parts;
    for (i64 begin = samples * part / parts; begin < last; begin += kSamples) {
      const i64 end = std::min(begin + kSamples, last);
      prefetch_block(0, batch, begin, end, rows);
      for (std::size_t f = 0; f < features_.size(); ++f) {
        if (f + 1 < features_.size()) prefetch_block(f + 1, batch, begin, end, rows);
        gather_block(f, batch, begin, end, rows, out);
      }
    }
  });
}

// One feature of the samples [begin, end).
void Group::gather_block(std::size_t feature, const std::vector<GroupKeys>& batch, i64 begin,
                         i64 end, const i64* rows, MatrixView out) const {
  const Member& member = tables_[static_cast<std::size_t>(features_[feature].table)];
  const Table& table = *member.table;
  const float* missing = member.fallback.empty() ? nullptr : member.fallback.data();
  const GroupKeys& keys = batch[feature];
  const MatrixView to{out.data + begin * out.stride + columns_[feature], out.stride};
  rows += first_keys_[feature];
  if (keys.offsets == nullptr) {
    table.gather_part(rows + begin, end - begin, missing, to);
  } else {
    table.pool_part(rows, keys.count, keys.offsets + begin, end - begin,
                    features_[feature].combiner, features_[feature].max_length, keys.weights,
                    missing, to);
  }
}

// Ask for the rows with which `gather_block` begins; it asks for the others itself.
void Group::prefetch_block(std::size_t feature, const std::vector<GroupKeys>& batch, i64 begin,
                           i64 end, const i64* rows) const {
  const Table& table = *tables_[static_cast<std::size_t>(features_[feature].table)].table;
  const i64* offsets = batch[feature].offsets;
  if (offsets != nullptr) {
    begin = offsets[begin];
    end = offsets[end];
  }
  table.prefetch_rows(rows + first_keys_[feature] + begin, end - begin);
}

void Group::forward(const std::vector<GroupKeys>& batch, i64 samples, bool insert, i64* rows,
                    MatrixView out) {
  const std::lock_guard<std::mutex> call(mutex_);
  const auto locks = begin_call(batch, samples);
  for_each_table([&](Member& member) {
    join_keys(member, batch, samples);
    Table& table = *member.table;
    i64* own = rows + member.begin;
    member.added = 0;
    if (insert) {
      member.added = table.prepare_insert(member.keys, member.kept, own, true);
    } else {
      table.find_unlocked(member.keys, member.kept, own);
    }
  });
  for_each_table([&](Member& member) {
    i64* own = rows + member.begin;
    if (insert) {
      member.table->insert_new(member.keys, member.kept, member.added, own, NewWeights::initial);
    }
    spread_rows(member, batch, samples, own);
  });
  gather(batch, samples, rows, out);
}

// Each key's gradient, as a place in the matrix of all features and a factor: its weight over what
// the sample's vectors were divided by. The place counts floats, so features at different columns
// are summed together. Ignored keys get some factor as well; they have no row. One key for each
// sample of a single feature: the feature's own columns.
void Group::spread_gradients(Member& member, const std::vector<GroupKeys>& batch, i64 samples,
                             ConstMatrixView gradients) {
  if (member.features.size() == 1 && batch[member.features[0]].offsets == nullptr) {
    const float* own = gradients.data + columns_[member.features[0]];
    member.gradients = {own, samples, gradients.stride, nullptr, nullptr};
    return;
  }
  i64* source = member.source_scratch.ensure(member.count);
  bool scaled = false;
  for (const std::size_t f : member.features) {
    scaled |= batch[f].weights != nullptr ||
              (batch[f].offsets != nullptr && features_[f].combiner != Combiner::sum);
  }
  float* scale = scaled ? member.scale_scratch.ensure(member.count) : nullptr;
  member.gradients = {gradients.data, samples * gradients.stride, 1, source, scale};
  for (const std::size_t f : member.features) {
    const i64* offsets = batch[f].offsets;
    const float* weights = batch[f].weights;
    for (i64 sample = 0; sample < samples; ++sample) {
      const i64 keys = offsets == nullptr ? 1 : offsets[sample + 1] - offsets[sample];
      source = std::fill_n(source, keys, sample * gradients.stride + columns_[f]);
      if (!scaled || keys == 0) continue;
      const i64 begin = offsets == nullptr ? sample : offsets[sample];
      const i64 end = offsets == nullptr ? sample + 1 : begin + kept(f, offsets, sample);
      const float divisor = pool_divisor(features_[f].combiner, weights, begin, end);
      if (weights == nullptr) {
        scale = std::fill_n(scale, keys, 1.0f / divisor);
        continue;
      }
      for (i64 i = begin; i < begin + keys; ++i) *scale++ = pool_divide(weights[i], divisor);
    }
  }
}

void Group::backward(const std::vector<GroupKeys>& batch, i64 samples, const i64* rows,
                     ConstMatrixView gradients, u32 step,
                     const std::vector<float>& learning_rates) {
  const std::lock_guard<std::mutex> call(mutex_);
  const auto locks = begin_call(batch, samples);
  for_each_table([&](Member& member) {
    member.table->check_rows(rows + member.begin, member.count);
    spread_gradients(member, batch, samples, gradients);
  });
  for_each_table([&](Member& member) {
    const auto number = static_cast<std::size_t>(&member - tables_.data());
    member.table->apply_unlocked(rows + member.begin, member.count, member.gradients, step,
                                 learning_rates[number]);
  });
}

}  // namespace emberline
