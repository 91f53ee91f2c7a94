#!/usr/bin/env bash
# curl, in a loop that keeps the last id and the time to wait, and parses the lines.
set -u
command -v curl >/dev/null || exit

# A byte at a time: `read` need not know the encoding.
export LC_ALL=C
id="" retry=3000

json() {
    local text=${1//\\/\\\\}
    text=${text//\"/\\\"}
    printf '"%s"' "${text//$'\n'/\\n}"
}

while :; do
    event=message data="" has_data=
    while IFS= read -r line; do
        value=${line#*:}
        value=${value# }
        case $line in
            id:*) id=$value ;;
            retry:*) retry=$value ;;
            event:*) event=$value ;;
            data:*) data+=${has_data:+$'\n'}$value has_data=1 ;;
            "")
                if [[ $has_data ]]; then
                    echo "{\"id\":$(json "$id"),\"event\":$(json "$event"),\"data\":$(json "$data")}"
                fi
                event=message data="" has_data=
                ;;
        esac
    done < <(curl -sN ${id:+-H "Last-Event-ID: $id"} "$1")
    sleep "$((retry / 1000)).$(printf %03d $((retry % 1000)))"
done
