#include "addon/reconcile.h"

#include <string>
#include <vector>

#include "addon/convert.h"

namespace flowsieve::addon {
namespace {

bool flag(const Napi::Object& from, const char* name) {
  return from.Get(name).As<Napi::Boolean>().Value();
}

const char* name_of(Reconciled outcome) {
  switch (outcome) {
    case Reconciled::kKept:
      return "kept";
    case Reconciled::kDropped:
      return "dropped";
    case Reconciled::kClosed:
      return "closed";
    case Reconciled::kRestored:
      return "restored";
    case Reconciled::kUnmatched:
      return "unmatched";
    case Reconciled::kNoRoom:
      return "noRoom";
  }
  return "";
}

}  // namespace

ReconcileOptions to_reconcile_options(const Napi::Object& from) {
  const auto match = from.Get("match").As<Napi::Object>();
  const std::string conntrack = from.Get("conntrack").As<Napi::String>().Utf8Value();
  return {.match = {.source = flag(match, "source"),
                    .source_port = flag(match, "sourcePort"),
                    .destination = flag(match, "destination"),
                    .destination_port = flag(match, "destinationPort")},
          .conntrack = conntrack == "always"  ? UseConntrack::kAlways
                       : conntrack == "never" ? UseConntrack::kNever
                                              : UseConntrack::kAuto,
          .dry = flag(from, "dry"),
          .anywhere = flag(from, "anywhere"),
          .named = from.Get("named").As<Napi::Number>().Uint32Value()};
}

Napi::Value from_reconcile_report(Napi::Env env, const ReconcileReport& report) {
  auto made = Napi::Object::New(env);
  const auto number = [&](const char* name, uint64_t value) {
    made.Set(name, static_cast<double>(value));
  };
  number("checked", report.checked);
  number("dropped", report.dropped);
  number("closed", report.closed);
  number("restored", report.restored);
  number("unmatched", report.unmatched);
  number("noRoom", report.no_room);
  number("left", report.left);
  number("sockets", report.sockets);
  number("tracked", report.tracked);
  number("malformed", report.malformed);
  made.Set("conntrack", report.conntrack);
  std::vector<Key> keys;
  auto outcomes = Napi::Array::New(env, report.named.size());
  for (uint32_t i = 0; i < report.named.size(); ++i) {
    keys.push_back(report.named[i].key);
    outcomes.Set(i, name_of(report.named[i].outcome));
  }
  made.Set("keys", from_structs(env, keys));
  made.Set("outcomes", outcomes);
  return made;
}

}  // namespace flowsieve::addon
