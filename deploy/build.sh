#!/bin/sh
# Builds the binary that runs in the image, with Kafka, and puts it into DIRECTORY. The Dockerfile runs this, and
# `cargo xtask stack` does. It needs the Rust toolchain, cc, c++ and make.
#   deploy/build.sh DIRECTORY [CARGO PROFILE, release if none is named]
set -eu
out=${1:?usage: deploy/build.sh DIRECTORY [PROFILE]}
profile=${2:-release}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.."

for program in cargo cc c++ make; do
  command -v "$program" >/dev/null || { echo "deploy/build.sh: \`$program\` is needed and not on the path" >&2; exit 1; }
done
cargo build --locked --package hookfast --features kafka --profile "$profile"

# The directory of the profile `dev` is called `debug`.
folder=$profile
[ "$profile" = dev ] && folder=debug
# Beside and renamed: a running one keeps its file.
install -m 755 "${CARGO_TARGET_DIR:-target}/$folder/hookfast" "$out/hookfast.new"
mv "$out/hookfast.new" "$out/hookfast"
"$out/hookfast" --version
