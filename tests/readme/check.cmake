# cmake -DREADME=... -DEXAMPLE=... -P check.cmake: fails unless the README holds the example as it is.
file(READ ${README} readme)
file(READ ${EXAMPLE} example)
string(FIND "${readme}" "${example}" position)
if(position EQUAL -1)
  message(FATAL_ERROR "${README} does not show ${EXAMPLE} word for word")
endif()
