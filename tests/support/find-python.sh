#!/bin/sh
# Prints the path of a Python that fits: `find-python.sh 3.11` (or newer), `find-python.sh =3.13` (exactly).
# $PYTHON is tried first, then the usual names, then what pyenv has; one without venv or pip does not fit.
set -u
wanted=$1

fits() {
    "$1" - "$wanted" 2>/dev/null <<'PYTHON'
import sys
wanted = sys.argv[1]
version = tuple(int(part) for part in wanted.lstrip("=").split("."))
found = sys.version_info[:len(version)]
import ensurepip, venv
if found == version if wanted.startswith("=") else found >= version:
    print(sys.executable)
else:
    sys.exit(1)
PYTHON
}

newest_of_pyenv() {
    ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python 2>/dev/null | sort -rV
}

for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3 python $(newest_of_pyenv); do
    fits "$candidate" && exit 0
done

case $wanted in
    =*) echo "Python ${wanted#=} with venv was not found." >&2 ;;
    *) echo "Python $wanted or newer with venv was not found." >&2 ;;
esac
cat >&2 <<'HELP'
Install it, for example:  apt install python3 python3-venv  |  brew install python  |  pyenv install 3.13
or name one that you have:  make PYTHON=/path/to/python ...
HELP
exit 1
